"""The endpoint that the demo starts for itself, and ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from serving import children, living, until

from ondevice.errors import ServeError
from ondevice.lab.demo.fixtures import SERVED, endpoint


@pytest.fixture(autouse=True)
def others(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have started is none of ours."""
    monkeypatch.setattr(sys.modules[__name__], "OTHERS", servers())


OTHERS: list[int] = []


def test_the_endpoint_serves_the_family_and_is_gone_afterwards() -> None:
    with endpoint() as port:
        (server,) = servers()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/cnnselect") as reply:
            profiles = json.load(reply)["parameters"]["profiles"]
        assert {profile["model"] for profile in profiles} == set(SERVED)
        workers = children(server)
    assert workers
    assert servers() == []
    until(lambda: not living(workers))  # they notice that what started them has ended


def test_an_endpoint_that_does_not_start() -> None:
    with pytest.raises(ServeError, match=r"the endpoint did not start: .*no_such_model"), endpoint(["no_such_model"]):
        raise AssertionError("it is there")


def test_an_endpoint_that_ends_before_its_time() -> None:
    with pytest.raises(ServeError, match="before its time"), endpoint(["digits_xs_int8"]):
        _kill_child()


def test_an_error_meanwhile_is_passed_on() -> None:
    with pytest.raises(ValueError, match="mine"), endpoint(["digits_xs_int8"]):
        raise ValueError("mine")
    assert servers() == []


def test_ctrl_c_in_the_middle_of_the_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), endpoint(["digits_xs_int8"]):
        raise AssertionError("it was not interrupted")
    assert servers() == []
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) == before


def servers() -> list[int]:
    """The endpoints that this process has started; multiprocessing keeps a helper of its own beside them."""
    found = [pid for pid in children(os.getpid()) if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    return [pid for pid in found if pid not in OTHERS]


def _kill_child() -> None:
    (server,) = servers()
    os.kill(server, signal.SIGKILL)
    os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)
