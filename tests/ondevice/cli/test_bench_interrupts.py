"""`ondevice bench` that is interrupted or killed in the middle of its runs."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from serving import living

from ondevice.limits import cgroup

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits, and /proc, are Linux's")

QUICK = ("--runs", 5, "--min-secs", 0, "--warmup", 1)


class Measuring(NamedTuple):
    """An `ondevice bench` in the middle of its runs, and the number of its measuring process."""

    process: subprocess.Popen[str]
    worker: int

    def stop(self, number: signal.Signals) -> tuple[str, str]:
        """Standard output and error after a signal."""
        self.process.send_signal(number)
        return self.process.communicate(timeout=60)

    def ended(self, within_s: float = 60) -> bool:
        """Whether the measuring process ends within so many seconds."""
        end = time.monotonic() + within_s
        while living([self.worker]) and time.monotonic() < end:
            time.sleep(0.02)
        return not living([self.worker])


def worker_of(parent: int) -> int:
    """The measuring process, once it has sent some runs' times, and its parent has read some of them.

    A batch, of a quarter of a second with at most 10 runs a ms, is under 60 kB, and so is what lies in a pipe.
    """
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for stat in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has just ended
                if int(stat.read_text().rpartition(")")[2].split()[1]) == parent:
                    written = (stat.parent / "io").read_text().partition("wchar: ")[2].split()[0]
                    if int(written) > 130_000:
                        return int(stat.parent.name)
        time.sleep(0.02)
    pytest.fail("nothing was measured in a minute")


@contextlib.contextmanager
def measuring(*arguments: object) -> Iterator[Measuring]:
    command = [sys.executable, "-m", "ondevice", "bench", "digits_xs_int8", "--warmup", 1, "--runs", 10**7]
    command += ["--interval", 0.1, *arguments]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        try:
            yield Measuring(process, worker_of(process.pid))
        finally:
            process.kill()


@linux
def test_ctrl_c_prints_what_was_measured_so_far() -> None:
    with measuring() as run:
        out, err = run.stop(signal.SIGINT)
        assert run.process.returncode == 130
        assert run.ended()
    assert "Traceback" not in err
    head, _, row, _, reason = out.splitlines()
    cells: dict[str, Any] = dict(zip(head.split()[-11:], row.split()[-11:], strict=True))
    assert cells["verdict"] == "INVALID"
    assert float(cells["p50_ms"]) > 0
    assert reason.startswith("INVALID: digits_xs_int8, 1 thread: interrupted after ")


@linux
def test_a_polite_kill_does_the_same_in_json() -> None:
    with measuring("--format", "json") as run:
        out, err = run.stop(signal.SIGTERM)
        assert run.process.returncode == 130
        assert run.ended()
    (found,) = json.loads(out)
    assert "Traceback" not in err
    assert found["num_runs"] == len(found["samples_ms"]) > 0
    assert found["reasons"][0] == f"interrupted after {found['num_runs']} runs"
    assert found["verdict"] == "INVALID"


@linux
def test_an_interrupt_between_two_models_keeps_the_first(tmp_path: Path) -> None:
    # The second takes long to check: a checksum of gigabytes. The first one's warning tells when it is done.
    huge = tmp_path / "huge.tflite"
    huge.write_bytes(bytes(4) + b"TFL3")  # what is not a .tflite file is told at once
    os.truncate(huge, 16 << 30)
    cpu = min(os.sched_getaffinity(0))
    command = ["bench", "digits_xs_int8", huge, *QUICK, "--threads", 2, "--cpus", cpu, "--format", "json"]
    with subprocess.Popen(
        [sys.executable, "-m", "ondevice", *map(str, command)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "2 threads on 1" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert [row["model"] for row in json.loads(out or "[]")] == ["digits_xs_int8"]
    assert err == "ondevice: error: interrupted\n"


@linux
def test_a_kill_leaves_nothing_running() -> None:
    with measuring() as run:
        assert living([run.worker])
        run.process.kill()
        assert run.ended()


@linux
def test_the_control_group_goes_with_an_interrupt(place: cgroup.Hierarchy) -> None:
    with measuring("--cpu-quota", "0.5") as run:
        (group,) = place.own.glob(f"ondevice-{run.process.pid}-*")
        out, _ = run.stop(signal.SIGINT)
        assert "interrupted after" in out
        assert not group.exists()
        assert run.ended()
