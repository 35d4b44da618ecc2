"""Processes that outlive a run are found and ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ondevice.cloud.ray import remains


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs Linux's /proc")
def test_what_is_left_of_a_run_is_ended_and_nothing_else(tmp_path: Path) -> None:
    def start(folder: str) -> subprocess.Popen[bytes]:
        code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
        command = [sys.executable, "-c", code]
        started = subprocess.Popen(command, stdout=subprocess.PIPE, env={**os.environ, "RUN": folder})
        assert started.stdout
        started.stdout.readline()
        return started

    mark = str(tmp_path / "one")
    with start(mark) as ours, start(str(tmp_path / "two")) as other:
        assert remains.processes(mark) == [ours.pid]
        remains.end(mark, patience_s=0.1)
        assert ours.wait() == -signal.SIGKILL
        assert other.poll() is None
        other.kill()
