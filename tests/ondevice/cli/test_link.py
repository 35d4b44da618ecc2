"""`ondevice link` as its user meets it: the port, wrong flags, signals, and the summary."""

from __future__ import annotations

import contextlib
import csv
import json
import math
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ondevice.cli.link import link
from ondevice.errors import UsageError

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
HOST = "127.0.0.1"
PATIENCE_S = 30.0


class Running:
    """`ondevice link` that listens; `ports` are those of its links."""

    def __init__(self, targets: list[str], *flags: object) -> None:
        command = [sys.executable, "-m", "ondevice", "link", *(f"--to={target}" for target in targets)]
        self.process = subprocess.Popen(
            [*command, *map(str, flags)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert self.process.stderr
        self.notes = [self.process.stderr.readline() for _ in targets]
        self.ports = [int(found[1]) for note in self.notes if (found := re.search(rf"{HOST}:(\d+) leads", note))]
        assert len(self.ports) == len(targets), self.notes

    def stop(self, number: int = signal.SIGTERM) -> tuple[str, int]:
        """What it printed, and its exit status."""
        self.process.send_signal(number)
        out, err = self.process.communicate(timeout=PATIENCE_S)
        assert err == ""
        return out, self.process.returncode


@contextlib.contextmanager
def running(targets: list[str], *flags: object) -> Iterator[Running]:
    linked = Running(targets, *flags)
    try:
        yield linked
    finally:
        with linked.process as process:
            process.kill()


@pytest.fixture
def echo() -> Iterator[str]:
    """HOST:PORT of a server that sends back what it gets until the end, one connection after the other."""
    with socket.create_server((HOST, 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with listening.accept()[0] as client:
                        while data := client.recv(1 << 16):
                            client.sendall(data)

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"{HOST}:{listening.getsockname()[1]}"
        listening.shutdown(socket.SHUT_RDWR)
        thread.join()


def exchange(port: int, data: bytes) -> bytes:
    """What comes back."""
    with socket.create_connection((HOST, port), PATIENCE_S) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: client.recv(1 << 16), b""))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_ends_with_a_summary_and_status_0(echo: str, number: int) -> None:
    with running([echo], "--trace", "wifi", "--latency", 20, "--jitter", 2, "--format", "json") as linked:
        assert linked.notes == [f"ondevice: {HOST}:{linked.ports[0]} leads to {echo}: wifi, 20 ms round trip\n"]
        assert exchange(linked.ports[0], bytes(1000)) == bytes(1000)
        out, status = linked.stop(number)
    summary = {"port": linked.ports[0], "to": echo, "connections": 1, "up_bytes": 1000, "down_bytes": 1000}
    assert (json.loads(out), status) == ([summary], 0)


def test_several_links_of_one_process(echo: str) -> None:
    port = free_port()
    with running([echo, echo], "--port", 0, "--port", port, "--rate-down", 5, "--format", "csv") as linked:
        assert linked.ports[1] == port
        assert "down 5 Mbit/s, 0 ms round trip" in linked.notes[0]
        assert exchange(port, b"one") == b"one"
        rows = list(csv.DictReader(linked.stop()[0].splitlines()))
    assert [(row["port"], row["connections"], row["down_bytes"]) for row in rows] == [
        (str(linked.ports[0]), "0", "0"), (str(port), "1", "3"),
    ]  # fmt: skip


def test_toxics_and_outages_work(echo: str) -> None:
    flags = ["--toxic", "limit_data:bytes=5", "--toxic", "slow_close:delay=1,stream=upstream", "--outage", "0:0.1"]
    # Where nobody has chosen the port, it is said with --quiet too.
    with running([echo], *flags, "--no-handshake", "--buffer", "64KiB", "--quiet") as linked:
        assert exchange(linked.ports[0], b"123456789") == b"12345"
        out, status = linked.stop()
    assert status == 0
    heads, _, row = out.splitlines()
    assert heads.split() == ["port", "to", "connections", "up_bytes", "down_bytes"]
    assert row.split()[1:] == [echo, "1", "9", "5"]


def free_port() -> int:
    with socket.create_server((HOST, 0)) as other:
        return int(other.getsockname()[1])


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"to": ["localhost"]}, "--to takes HOST:PORT such as localhost:8000, not 'localhost'"),
        ({"to": ["localhost:"]}, "--to takes HOST:PORT"),
        ({"to": [":80"]}, "--to takes HOST:PORT"),
        ({"to": ["localhost:70000"]}, "--to takes HOST:PORT"),
        ({"to": ["http://localhost:80"]}, "--to takes HOST:PORT"),
        ({"to": ["a..b:80"]}, "host 'a..b' is not known"),
        ({"port": [1, 2]}, "--to is given 1 times, --port 2 times"),
        ({"trace": "celular"}, "no trace 'celular', nor a file of that name"),
        ({"trace": "lte", "rate_up": 1.0}, "give one or the other"),
        ({"rate_up": 0.0}, "a link's rate is above 0 Mbit/s, not 0"),
        ({"rate_down": math.nan}, "a link's rate is above 0 Mbit/s, not nan"),
        ({"latency": -1.0}, "a link's latency one way is a number of ms from 0 up, not -0.5"),
        ({"latency": 10.0, "jitter": 6.0}, "a link's jitter is from 0 ms to its latency one way, 5 ms, not 6"),
        ({"buffer": "much"}, "--buffer 'much' is not a size"),
        ({"buffer": "1kB"}, "at least a packet"),
        ({"toxic": ["reset"]}, "no toxic 'reset'"),
        ({"toxic": ["timeout", "timeout:delay=5"]}, "timeout has no 'delay'"),
        ({"outage": ["5"]}, "--outage takes START:LENGTH in seconds, such as 10:2.5, not '5'"),
        ({"outage": ["5:0"]}, "an outage starts at 0 s or later and lasts above 0 s"),
    ],
)
def test_wrong_flags_are_told(flags: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as caught:
        link(**{"to": [f"{HOST}:80"], **flags})
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--to", "localhost"], "--to takes HOST:PORT"),
        (["--to", f"{HOST}:80", "--port", 70000], "70000 is not in the range"),
        ([], "Missing option '--to'"),
    ],
)
def test_wrong_flags_are_one_line_and_status_2(cli: Cli, flags: list[Any], said: str) -> None:
    done = cli("link", *flags)
    assert (done.stdout, len(done.stderr.splitlines()), done.returncode) == ("", 1, 2)
    assert done.stderr.startswith("ondevice: error: ")
    assert said in done.stderr


def test_a_wrong_line_of_a_trace_is_told_with_its_number(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "mine"
    path.write_text("1\n2\nthree\n")
    done = cli("link", "--to", f"{HOST}:80", "--trace", path)
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr == (
        f"ondevice: error: trace {path}, line 3: 'three' is not a time in ms; write one whole number\n"
    )


def test_a_port_in_use_is_told(cli: Cli) -> None:
    with socket.create_server((HOST, 0)) as other:
        port = other.getsockname()[1]
        done = cli("link", "--to", f"{HOST}:80", "--port", port)
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.splitlines() == [
        f"ondevice: error: cannot listen on {HOST} port {port}: address already in use; "
        "choose another port, or 0 for any"
    ]
