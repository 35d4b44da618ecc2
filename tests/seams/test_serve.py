"""`ondevice serve` as an operator meets it: where it listens, TLS, signals, and its end."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from certificates import self_signed
from faulty import copied
from project import INSTALLED, ROOT
from refusals import one_line
from serving import FAMILY, PICTURE, Endpoint, children, post, read_all, status, until

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
INFER = "/v2/models/cnnselect/infer"
# Starts in half the time.
ONE = ("--models", FAMILY[0])
linux = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")


def test_standard_output_is_the_address_alone(tmp_path: Path) -> None:
    with Endpoint(tmp_path) as running:
        assert running.process.stdout
        assert running.stop() == 0
        assert running.url == f"http://127.0.0.1:{running.port}"
        notes = running.stderr.splitlines()
    assert "4 models, chosen by effective" in notes[0]
    assert f"'{running.url}/v2/models/cnnselect/infer'" in notes[1]


def test_the_line_to_try_is_right_for_any_name(tmp_path: Path, stranger: Path) -> None:
    with Endpoint(tmp_path, "--models", stranger.rename(stranger.with_name("my 魚.tflite"))) as running:
        until(lambda: "curl" in running.stderr)
        url = running.stderr.rpartition("curl ")[2].split("'")[3]
        assert url == f"{running.url}/v2/models/my%20%E9%AD%9A/infer"
        sent = requests.post(url, data=PICTURE, headers={"Content-Type": "image/png"}, timeout=30)
        assert sent.status_code == 200


def test_a_model_without_accuracy_is_served_by_its_name_alone(tmp_path: Path, stranger: Path) -> None:
    with Endpoint(tmp_path, "--models", stranger) as running:
        until(lambda: "/v2/models/stranger/infer" in running.stderr)
        told = running.stderr.splitlines()
        assert "stranger.tflite has no card: " in told[0]
        assert "stranger.tflite does not say what values it takes" in told[1]
        assert "stranger has no known accuracy" in told[2]
        assert "1 model, each asked by its name" in told[3]
        assert "expected_top1" not in running.classify("stranger").json()["parameters"]
        chosen = running.classify()
        assert (chosen.status_code, chosen.headers["retry-after"]) == (503, "1")
        assert "ask one by its own name" in chosen.json()["error"]


def test_it_starts_without_any_of_the_bundled_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, package = copied(tmp_path, FAMILY[3]), tmp_path / "package"
    for folder in INSTALLED:
        shutil.copytree(ROOT / folder, package / folder, ignore=shutil.ignore_patterns("__pycache__", "digits"))
    shutil.copy(ROOT / "pyproject.toml", package)
    monkeypatch.setenv("PYTHONPATH", str(package))
    monkeypatch.chdir(tmp_path)
    with Endpoint(tmp_path, "--models", mine) as running:
        assert running.classify(FAMILY[3]).json()["outputs"][2]["data"][0] == 7


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def encrypted(certificate: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    cert, key = certificate
    flags = ("--tls-cert", cert, "--tls-key", key, "--max-body", "10kB", "--models", FAMILY[0])
    with Endpoint(tmp_path_factory.mktemp("home"), *flags) as running:
        yield running


def trusting(
    method: str, encrypted: Endpoint, certificate: tuple[Path, Path], path: str, **more: Any
) -> requests.Response:
    return encrypted.ask(method, path, verify=str(certificate[0]), **more)


def test_https(encrypted: Endpoint, certificate: tuple[Path, Path]) -> None:
    assert encrypted.url.startswith("https://")
    for _ in range(2):
        reply = trusting("POST", encrypted, certificate, INFER, data=PICTURE, headers={"Content-Type": "image/png"})
        assert reply.status_code == 200
        assert reply.json()["outputs"][2]["data"][0] == 7
    assert trusting("POST", encrypted, certificate, INFER, data=bytes(20_000)).status_code == 413
    assert trusting("GET", encrypted, certificate, "/nowhere").status_code == 404


def test_a_client_that_does_not_trust_the_certificate_gets_nothing(encrypted: Endpoint) -> None:
    with pytest.raises(requests.exceptions.SSLError):
        encrypted.ask("GET", "/v2")


def test_plain_http_to_the_tls_port_is_refused_and_the_server_lives_on(
    encrypted: Endpoint, certificate: tuple[Path, Path]
) -> None:
    for junk in (b"GET /v2 HTTP/1.1\r\nHost: localhost\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", bytes(100)):
        try:
            with encrypted.connect() as client:
                client.sendall(junk)
                client.shutdown(socket.SHUT_WR)
                assert b"200" not in read_all(client)
        except ConnectionResetError:
            pass
    assert trusting("GET", encrypted, certificate, "/v2").status_code == 200
    assert "Traceback" not in encrypted.stderr


def test_a_key_of_another_certificate_is_refused(cli: Cli, certificate: tuple[Path, Path]) -> None:
    cert, key = certificate
    done = cli("serve", "--port", 0, "--tls-cert", key, "--tls-key", cert)
    assert f"--tls-cert {key}" in one_line(done, 2)


# Its end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_what_is_in_flight_and_ends(tmp_path: Path, number: signal.Signals) -> None:
    with Endpoint(tmp_path, *ONE) as running, running.connect() as busy, running.connect() as idle:
        request = post(INFER, PICTURE)
        busy.sendall(request[:-10])
        idle.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert status(idle.recv(65536)) == 200
        running.process.send_signal(number)
        assert idle.recv(1) == b""
        with pytest.raises(ConnectionRefusedError):
            running.connect()
        assert running.process.poll() is None
        busy.sendall(request[-10:])
        reply = read_all(busy)
        assert status(reply) == 200
        assert b"connection: close" in reply
        with running.process:
            assert running.process.wait(20) == 0
        assert [line for line in running.stderr.splitlines() if not line.startswith(("{", "ondevice: "))] == []


def takes_connections(running: Endpoint) -> bool:
    try:
        running.connect().close()
    except ConnectionError:
        return False
    return True


def test_while_it_drains_it_is_not_ready(tmp_path: Path) -> None:
    with Endpoint(tmp_path, *ONE) as running, running.connect() as busy:
        ready = b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n"
        busy.sendall(ready[:-2])
        running.get("/v2")  # by then it has what was sent before
        running.process.send_signal(signal.SIGTERM)
        until(lambda: not takes_connections(running))
        busy.sendall(ready[-2:])
        reply = read_all(busy)
    assert status(reply) == 503
    assert b"stopping" in reply


def test_it_does_not_wait_for_ever(tmp_path: Path) -> None:
    with Endpoint(tmp_path, *ONE, "--drain", 0.3) as running, running.connect() as busy:
        busy.sendall(post(INFER, PICTURE)[:-10])
        running.get("/v2")
        assert running.stop() == 0
        assert busy.recv(100) == b""


def saved(home: Path) -> int:
    """How many runs of the only model the endpoint that lives there has saved."""
    return sum(json.loads(path.read_text())["profiles"][0]["n"] for path in home.rglob("profiles/*.json"))


@linux
def test_after_kill_9_workers_end_and_what_was_learned_is_there(tmp_path: Path) -> None:
    with Endpoint(tmp_path, "--models", FAMILY[1]) as running:
        begun = running.get(f"/v2/models/{FAMILY[1]}")["parameters"]["profile"]["n"]
        until(lambda: running.classify().status_code == 200 and saved(tmp_path) > begun)
        learned = running.get(f"/v2/models/{FAMILY[1]}")["parameters"]["profile"]["n"]
        workers = running.workers
        assert len(workers) == 2
        assert running.stop(signal.SIGKILL) == -signal.SIGKILL
        until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
        kept = saved(tmp_path)
        assert begun < kept <= learned
    with Endpoint(tmp_path, "--models", FAMILY[1]) as again:
        assert again.get(f"/v2/models/{FAMILY[1]}")["parameters"]["profile"]["n"] >= kept


@linux
def test_an_interrupted_start_leaves_no_process_behind(tmp_path: Path) -> None:
    environment = {**os.environ, "ONDEVICE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "ondevice", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        workers = until(lambda: children(process.pid))
        process.send_signal(signal.SIGINT)
        _, complained = process.communicate(timeout=20)
    assert process.returncode in (0, 130)
    assert b"Traceback" not in complained
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))
