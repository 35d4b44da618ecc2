"""`ondevice serve --ray`: its clients, what becomes of its workers, and what is left of it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")
pytest.importorskip("ray", reason="needs the extra: pip install 'ondevice-cnn[ray]'")

import numpy as np
import requests
from certificates import self_signed
from ray_serving import RayEndpoint, environ, listening
from serving import FAMILY, PICTURE, children, living, until

from ondevice import OffloadClient
from ondevice.cloud.ray import remains
from ondevice.selection.replies import ReplyDistribution

# As in `test_answers`: a reply that takes almost all of the time there is.
UNSURE = ReplyDistribution(np.linspace(850, 900, 21), 0.0, 1.0).text
# One for all that harm none: Ray takes ten seconds and more to start.
REPLICAS = ("--ray", "--replicas", 2, "--workers", 2)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RayEndpoint]:
    with RayEndpoint(tmp_path_factory.mktemp("ray"), *REPLICAS) as running:
        yield running
        assert running.log("internal error") == []


def test_nothing_of_ray_is_loaded_by_whoever_does_not_ask_for_it() -> None:
    heavy = ("ray", "grpc", "uvicorn", "starlette")
    code = "import ondevice.cli.serve, ondevice.cloud.ray.session, ondevice.cloud.ray.deployment, sys; "
    code += f"print([name for name in sys.modules if name.split('.')[0] in {heavy}])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# Its clients


def test_a_photo_is_answered_as_by_one_machine(served: RayEndpoint) -> None:
    reply = served.classify(sla_ms=2000)
    said = reply.json()
    assert (reply.status_code, said["outputs"][0]["data"][0]) == (200, "7")
    assert said["parameters"]["selected_model"] in FAMILY
    assert served.get("/v2/models/cnnselect")["parameters"]["profiles"]
    asked = (200, "/v2/models/cnnselect/infer")
    until(lambda: asked in [(line["status"], line["path"]) for line in served.log("request")])


def test_tritons_client_is_answered(served: RayEndpoint, image: Callable[[bool], Any]) -> None:
    triton = pytest.importorskip("tritonclient.http")
    with contextlib.closing(triton.InferenceServerClient(served.url.removeprefix("http://"))) as client:
        for binary in (True, False):
            assert client.infer("cnnselect", [image(binary)]).as_numpy("label")[0] == b"7"


def test_our_client_is_answered(served: RayEndpoint) -> None:
    with OffloadClient(served.url, (), 2000.0, "cloud") as client:
        answers = [client.classify(PICTURE) for _ in range(20)]
    assert {(answer.label, answer.where) for answer in answers} == {("7", "cloud")}


def test_several_answers_come_line_by_line(served: RayEndpoint) -> None:
    """Where both are read at once, the machine was busy: then they are asked for again."""
    asked = {"sla_ms": 900, "upload_ms": 0, "device_top1": 0.1, "anytime": 2, "reply": UNSURE}

    def pieces() -> list[bytes]:
        url, headers = f"{served.url}/v2/models/cnnselect/infer", {"Content-Type": "image/png"}
        with requests.post(url, PICTURE, params=asked, headers=headers, stream=True, timeout=30) as reply:
            assert reply.status_code == 200
            return list(reply.iter_content(None))

    first, last = until(lambda: len(found := pieces()) == 2 and found)
    assert [json.loads(line)["outputs"][0]["data"][0] for line in (first, last)] == ["7", "7"]
    assert json.loads(last)["parameters"]["final"]


# What is to be found of it


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
def test_what_others_can_reach_is_what_it_says(served: RayEndpoint) -> None:
    told = {int(port) for port in re.findall(r"port (\d+) is open to other machines", served.stderr)}
    pids = [served.process.pid, *remains.processes(str(served.folder))]
    here = {"0100007F", "0000000000000000FFFF00000100007F"}
    beyond = {address: ports for address, ports in listening(pids).items() if address not in here}
    assert beyond.pop("00000000") == told
    # Ray's own calls between replicas.
    assert set(beyond) == {"0" * 32}
    assert len(beyond["0" * 32]) == len(served.named("ServeReplica"))
    assert served.folder.stat().st_mode & 0o077 == 0


SUBMIT = """
import logging, sys, ray
logging.disable()
try:
    ray.init(address=sys.argv[1], log_to_driver=False)
    print(ray.get(ray.remote(lambda: "ran").remote()))
except BaseException as error:
    sys.exit(f"not let in: {type(error).__name__} {error}")
"""


@pytest.mark.parametrize("token", [None, "f" * 64])
def test_who_does_not_have_its_token_runs_nothing(served: RayEndpoint, tmp_path: Path, token: str | None) -> None:
    """Another user of the machine, who can connect to all of its ports, cannot read it."""
    (gcs,) = served.named("gcs_server")
    ports = next(ports for address, ports in listening([gcs]).items() if address.endswith("0100007F"))
    (port,) = ports
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RAY_AUTH_MODE": "token" if token else "disabled"}
    # Else Ray asks at another address of this machine, where nobody listens.
    environment |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_TOKEN": token or ""}
    asked = [sys.executable, "-c", SUBMIT, f"127.0.0.1:{port}"]
    done = subprocess.run(asked, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    assert "Unauthenticated" in done.stderr
    assert "not let in: ConnectionError" in done.stderr


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to be another user")
def test_another_user_does_not_read_its_token(served: RayEndpoint) -> None:
    told = (served.folder / "token").read_text()
    read = subprocess.run(["cat", served.folder / "token"], capture_output=True, text=True, user=65534, check=False)
    assert (len(told), told in read.stdout, "Permission denied" in read.stderr) == (64, False, True)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds its processes in /proc")
def test_its_replicas_and_workers_give_way_to_nobody(served: RayEndpoint) -> None:
    """Ray's own do, by 15."""
    pids = [*served.named("ServeReplica"), *served.workers]
    assert {os.getpriority(os.PRIO_PROCESS, pid) for pid in pids} == {os.getpriority(os.PRIO_PROCESS, 0)}


# What becomes of its workers


def test_a_worker_that_dies_is_replaced_and_the_others_serve_on(served: RayEndpoint) -> None:
    before = until(lambda: len(found := served.workers) == 4 and found)
    os.kill(before[0], signal.SIGKILL)
    assert {served.classify(sla_ms=5000).status_code for _ in range(20)} == {200}
    after = until(lambda: len(found := served.workers) == 4 and found)
    assert len(set(after) & set(before)) == 3
    assert until(lambda: served.log("worker died"))


# Its start and end


def refused(tmp_path: Path, *flags: object, **environment: str) -> tuple[int, str, str]:
    """Exit status, standard output and the last line of standard error of a command that serves nothing."""
    home = {"ONDEVICE_HOME": str(tmp_path), "TMPDIR": str(tmp_path)}
    asked = [sys.executable, "-m", "ondevice", "serve", "--ray", "--port", "0", *map(str, flags)]
    done = subprocess.run(asked, env={**os.environ, **home, **environment}, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr.splitlines()[-1]


def test_it_refuses_what_nobody_would_be_safe_with(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    status, out, said = refused(tmp_path, "--tls-cert", cert, "--tls-key", key)
    assert (status, out, said.startswith("ondevice: error: --tls-cert is not for --ray")) == (2, "", True)
    status, out, said = refused(tmp_path, RAY_AUTH_MODE="disabled")
    assert (status, out, "RAY_AUTH_MODE=disabled lets anybody who reaches Ray's ports run code" in said) == (
        1,
        "",
        True,
    )


def test_models_that_no_replica_can_serve_are_told_in_one_line(tmp_path: Path) -> None:
    status, out, said = refused(tmp_path, "--models", FAMILY[0], "--memory-budget", "1kB")
    assert (status, out) == (1, "")
    assert said.startswith(f"ondevice: error: {FAMILY[0]} takes ")
    assert said.endswith("over --memory-budget")


def test_ten_starts_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor does a stranger's module that lies where it is started take a library's place."""
    for name in ("grpc", "uvicorn"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'taken')!r}, 'w')\n")
    monkeypatch.chdir(tmp_path)
    for number in range(10):
        with RayEndpoint(tmp_path, "--ray", "--replicas", 1, "--models", FAMILY[0]) as running:
            folder = running.folder
            pids = [running.process.pid, *remains.processes(str(folder))]
            ports = set().union(*listening(pids).values())
            assert running.classify().status_code == 200
            assert len(pids) > 8
            status = running.stop(signal.SIGINT if number % 2 else signal.SIGTERM)
        assert status == 0
        assert (living(pids), folder.exists()) == ([], False)
        assert not ports & set().union(*listening(everybody()).values())
        assert not (tmp_path / "taken").exists()


def everybody() -> list[int]:
    return [int(path.name) for path in Path("/proc").glob("[0-9]*")]


def test_told_to_end_while_it_starts_it_leaves_nothing(tmp_path: Path) -> None:
    with (tmp_path / "stderr").open("wb") as file:
        command = [sys.executable, "-m", "ondevice", "serve", "--ray", "--port", "0"]
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=file, env={**os.environ, "ONDEVICE_HOME": str(tmp_path)}
        )
    with process:
        assert process.stdout
        begun = until(lambda: [pid for child in children(process.pid) for pid in children(child)])
        named = re.search(rb"RAY_AUTH_TOKEN_PATH=([^\0]+)/token", environ(begun[0]))
        assert named
        folder = Path(named[1].decode())
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert process.stdout.read() == b""
    assert (remains.processes(str(folder)), folder.exists()) == ([], False)


def test_what_one_that_was_killed_has_left_the_next_removes(tmp_path: Path) -> None:
    flags = ("--ray", "--replicas", 1, "--models", FAMILY[0])
    with RayEndpoint(tmp_path, *flags) as first:
        left = first.folder
        first.stop(signal.SIGKILL)
    assert left.exists()
    with RayEndpoint(tmp_path, *flags) as second:
        assert second.classify().status_code == 200
        assert (remains.processes(str(left)), left.exists()) == ([], False)


OTHER = """
import sys, time, ray
ray.init(address="local", num_cpus=1, include_dashboard=False, _temp_dir=sys.argv[1], object_store_memory=80 << 20)
there = ray.remote(lambda: "there")
print("begun", flush=True)
for line in sys.stdin:
    print(ray.get(there.remote()), flush=True)
"""


def test_another_ray_on_the_machine_goes_on(tmp_path: Path) -> None:
    folder = Path(f"/tmp/other-{os.getpid()}")
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "e" * 64}
    asking = [sys.executable, "-c", OTHER, str(folder)]
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    with subprocess.Popen(asking, stdin=pipe, stdout=pipe, stderr=null, text=True, env=environment) as other:
        assert other.stdin
        assert other.stdout

        def asked() -> str:
            other.stdin.write("\n")
            other.stdin.flush()
            return other.stdout.readline().strip()

        assert other.stdout.readline().strip() == "begun"
        assert asked() == "there"
        with RayEndpoint(tmp_path, "--ray", "--replicas", 1, "--models", FAMILY[0]) as running:
            assert running.classify().status_code == 200
            assert asked() == "there"
        assert asked() == "there"
        assert children(other.pid)
        other.stdin.close()
        other.wait(60)
    shutil.rmtree(folder)
