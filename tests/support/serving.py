"""A running `ondevice serve` as its users meet it: a process, its address, and its log."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import requests

from ondevice.models import zoo

PICTURE = min(zoo.samples_dir().glob("7/*.png")).read_bytes()
FAMILY = ("digits_xs_int8", "digits_s_int8", "digits_m_int8", "digits_l_int8")
_PATIENCE_S = 30.0
# Set by `make test-extras`: what holds of an endpoint of one process is to hold of a replica behind Ray's proxy.
BY_RAY = ("--ray", "--replicas", "1") if os.environ.get("ONDEVICE_TEST_RAY") else ()


def not_by_ray(reason: str) -> pytest.MarkDecorator:
    """Marks what does not hold of a replica behind Ray's proxy, and why."""
    return pytest.mark.skipif(bool(BY_RAY), reason=f"not by Ray: {reason}")


class Endpoint:
    """`ondevice serve` with these flags, listening from the start. To be used in a `with`, which ends it.

    home: where it keeps what it keeps; its standard error, the log, goes to a file there, or to `stderr`. believing: it
    takes saved times for true, whatever a first measurement says.
    """

    def __init__(self, home: Path, *flags: object, stderr: int | None = None, believing: bool = False) -> None:
        self.home = home
        self._stderr = home / "stderr"
        program = [str(Path(__file__).with_name("believing.py"))] if believing else ["-m", "ondevice"]
        environment = {**os.environ, "ONDEVICE_HOME": str(home)}
        if believing and BY_RAY:
            before = os.environ.get("PYTHONPATH", "")
            environment["PYTHONPATH"] = f"{Path(__file__).with_name('believing_replicas')}{os.pathsep}{before}"
        command = [sys.executable, *program, "serve", "--port", "0", "--workers", "2", *BY_RAY, *map(str, flags)]
        with self._stderr.open("wb") as file:
            self.process = subprocess.Popen(
                command,
                stdout=subprocess.PIPE,
                stderr=file if stderr is None else stderr,
                text=True,
                env=environment,
            )
        assert self.process.stdout
        self.url = self.process.stdout.readline().strip()
        assert self.url, f"it did not start: {self.stderr}"
        self.port = int(self.url.rpartition(":")[2])

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.returncode is None:
            self.stop(signal.SIGKILL if error[0] else signal.SIGTERM)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send it this signal, and wait for its exit status."""
        self.process.send_signal(number)
        with self.process:
            return self.process.wait(_PATIENCE_S)

    # Its log

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def log(self, event: str) -> list[dict[str, Any]]:
        """What it has logged of an event so far."""
        lines = [json.loads(line) for line in self.stderr.splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line["event"] == event]

    # Asking it

    def ask(self, method: str, path: str, **more: Any) -> requests.Response:
        """On a connection of its own."""
        return requests.request(method, self.url + path, timeout=_PATIENCE_S, **more)

    def get(self, path: str) -> Any:
        """The JSON that is there."""
        reply = self.ask("GET", path)
        assert reply.status_code == 200, reply.text
        return reply.json()

    def classify(self, model: str = "cnnselect", picture: bytes = PICTURE, **query: Any) -> requests.Response:
        """Send a picture as the body, with the parameters in the query."""
        headers = {"Content-Type": "image/png"}
        return self.ask("POST", f"/v2/models/{model}/infer", data=picture, headers=headers, params=query)

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=_PATIENCE_S)

    def say(self, *pieces: bytes) -> bytes:
        """All that it answers to these bytes until it closes the connection."""
        with self.connect() as client:
            for piece in pieces:
                client.sendall(piece)
            return read_all(client)

    @property
    def front(self) -> int:
        """The process that takes requests in: its own, or the replica's."""
        replicas = [pid for pid in descendants(self.process.pid) if "ServeReplica" in command(pid)]
        return replicas[0] if BY_RAY else self.process.pid

    @property
    def workers(self) -> list[int]:
        """The process ids of its workers, wherever below it they are."""
        return [pid for pid in descendants(self.process.pid) if "backends.workers.worker" in command(pid)]


def known_to_take(endpoint: Endpoint, folder: Path, *times_ms: float) -> Path:
    """A file for `--profiles` by which the family's models take so long for certain; the endpoint's own tell the rest.

    Where no flag of the two endpoints differs that times depend on, a `believing` one believes it.
    """
    endpoint.classify()  # it saves what it has learned since it began
    (path,) = until(lambda: list(endpoint.home.rglob("profiles/*.json")))
    known = json.loads(path.read_text())
    for row, ms in zip(known["profiles"], times_ms, strict=True):
        row.update(mean_ms=ms, std_ms=0.0, quantiles_ms=[ms] * 21)
    told = folder / "profiles.json"
    told.write_text(json.dumps(known))
    return told


def children(pid: int) -> list[int]:
    """The processes that this one has started and that live; none where there is no /proc."""
    return [child for child, parent in _parents().items() if parent == pid]


def descendants(pid: int) -> list[int]:
    """The same, and what these have started."""
    parents, found = _parents(), [pid]
    for each in found:
        found += [child for child, parent in parents.items() if parent == each]
    return found[1:]


def _parents() -> dict[int, int]:
    """Of all processes that live."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            state, parent, *_ = path.read_text().rpartition(")")[2].split()
            if state != "Z":
                found[int(path.parent.name)] = int(parent)
    return found


def command(pid: int) -> str:
    """How a process was started, as far as it has not ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    return ""


def living(pids: Iterable[int]) -> list[int]:
    """Those that run; one that has ended stands in /proc until its parent, or the system's first process, looks."""
    found = []
    for pid in pids:
        with contextlib.suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                found.append(pid)
    return found


def resident_bytes(pid: int, key: str = "VmRSS") -> int:
    """What a process takes, and none once it has ended; VmHWM: the most that it ever took."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{pid}/status").read_text()
        return next((int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith(key)), 0)
    return 0


def image_input(picture: bytes = PICTURE) -> dict[str, Any]:
    """A picture as the input of a JSON request."""
    return {"name": "image", "shape": [1], "datatype": "BYTES", "data": [base64.b64encode(picture).decode()]}


def read_all(client: socket.socket) -> bytes:
    """What comes until the other end closes."""
    pieces = []
    while piece := client.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def read_reply(client: socket.socket) -> bytes:
    """One reply with a Content-Length: who is refused early is not always disconnected."""
    reply = b""
    while piece := client.recv(65536):
        reply += piece
        head, _, body = reply.partition(b"\r\n\r\n")
        told = re.search(rb"content-length: (\d+)", head.lower())
        if told and len(body) >= int(told[1]):
            break
    return reply


def post(path: str, body: bytes, kind: str = "image/png", extra: str = "", length: int | None = None) -> bytes:
    """A request as it stands on the wire. length: the Content-Length, if it is to be a lie."""
    size = len(body) if length is None else length
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {kind}\r\nContent-Length: {size}\r\n{extra}\r\n"
    return head.encode() + body


def status(reply: bytes) -> int:
    """The status in an answer on the wire."""
    return int(reply.split(b" ", 2)[1])


def until(condition: Callable[[], Any], patience_s: float = _PATIENCE_S) -> Any:
    """What the condition gives, once it is true; fails if it never is."""
    end = time.monotonic() + patience_s
    while not (found := condition()):
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.02)
    return found


def sentence(reply: requests.Response) -> str:
    """The error of a refused request, which must be one sentence that gives nothing of this machine away."""
    assert reply.headers["content-type"] == "application/json"
    assert set(reply.json()) in ({"error"}, {"error", "reason"})
    said: str = reply.json()["error"]
    assert said
    assert "\n" not in said
    assert len(said) < 400
    for secret in ("Traceback", "/work", "/root", "/home", "/tmp", "site-packages", ".py", " object at 0x"):
        assert secret not in said
    return said
