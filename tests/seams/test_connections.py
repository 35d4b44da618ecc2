"""Connections without number to a running endpoint: what only shakes hands, and what was refused, is counted too."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from certificates import self_signed
from serving import FAMILY, PICTURE, Endpoint, post, until

pytestmark = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts descriptors in /proc")

CLIENTS, SERVED = 200, 6
# So many more are told that there are too many, and the next one before the oldest of them has closed.
KEPT = SERVED + 32 + 1
FLAGS = ("--models", FAMILY[0], "--max-connections", SERVED)


def sockets(running: Endpoint) -> int:
    """How many its front has open."""
    found = 0
    for path in Path(f"/proc/{running.process.pid}/fd").iterdir():
        with contextlib.suppress(OSError):  # it has just been closed
            found += str(path.readlink()).startswith("socket:")
    return found


def test_handshakes_that_nobody_goes_on_with_count_and_lock_nobody_out(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path)
    with (
        Endpoint(tmp_path, *FLAGS, "--tls-cert", cert, "--tls-key", key) as running,
        contextlib.ExitStack() as stack,
    ):
        before = sockets(running)
        for _ in range(CLIENTS):
            stack.enter_context(running.connect())
        assert running.ask("GET", "/v2/health/live", verify=str(cert)).status_code == 200
        until(lambda: sockets(running) <= before + KEPT)


def test_those_who_are_refused_are_not_kept_without_number(tmp_path: Path) -> None:
    with Endpoint(tmp_path, *FLAGS) as running, contextlib.ExitStack() as stack:
        before, most = sockets(running), 0
        for _ in range(SERVED):
            client = stack.enter_context(running.connect())
            client.sendall(post("/v2/models/cnnselect/infer", PICTURE)[:-1])
        for _ in range(CLIENTS):
            client = stack.enter_context(running.connect())
            with contextlib.suppress(ConnectionError):
                client.recv(1)  # it is told so, or not even that
            most = max(most, sockets(running))
        assert most <= before + KEPT
