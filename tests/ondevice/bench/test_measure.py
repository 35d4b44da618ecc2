"""Measuring in a child process: what is counted, under which limits, and how it ends when something goes wrong."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from ondevice import host
from ondevice import runtime as runtimes
from ondevice.bench.measure import Interrupted, measure
from ondevice.bench.spec import Spec
from ondevice.errors import BenchError, ModelError, OnDeviceError, UsageError
from ondevice.host.raspberry_pi import RaspberryPi
from ondevice.limits import cgroup
from ondevice.limits.limits import Limits
from ondevice.models import files, zoo
from ondevice.runner import resolve

linux = pytest.mark.skipif(sys.platform != "linux", reason="limits, and /proc, are Linux's")


def quick(model: str | Path = "digits_xs_int8", **changes: Any) -> Spec:
    return Spec(str(model), **{"warmup": 1, "runs": 5, "min_secs": 0} | changes)


def children() -> list[int]:
    """The measuring processes that this one has started and that run."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has just ended
            state, parent = stat.read_text().rpartition(")")[2].split()[:2]
            command = (stat.parent / "cmdline").read_text()
            if int(parent) == os.getpid() and state not in "ZX" and "ondevice.bench.worker" in command:
                found.append(int(stat.parent.name))
    return found


def allowed() -> list[set[int]]:
    """The processors that each thread of the measuring process may run on; none once it has ended."""
    found = []
    for child in children():
        with contextlib.suppress(OSError):
            found += [os.sched_getaffinity(int(task.name)) for task in Path(f"/proc/{child}/task").iterdir()]
    return found


def one_line(error: pytest.ExceptionInfo[OnDeviceError]) -> str:
    assert "\n" not in str(error.value)
    assert "Traceback" not in str(error.value)
    return str(error.value)


@pytest.fixture
def python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Puts a shell script in Python's place, so that the measuring process does as the script says."""

    def install(script: str) -> None:
        path = tmp_path / "python"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(path))

    return install


# What is counted


def test_warm_up_and_runs_are_counted_apart() -> None:
    found = measure(quick(warmup=3, runs=7))
    assert (found.num_warmup_runs, found.num_runs) == (3, 7)
    assert found.init_ms > 0
    assert found.warmup_first_ms > 0
    assert found.warmup_avg_ms > 0
    assert min(found.samples_ms) > 0
    assert found.decode_samples_ms == ()
    assert datetime.fromisoformat(found.started) <= datetime.now(UTC)


def test_runs_go_on_until_the_seconds_are_over_too() -> None:
    found = measure(quick(runs=2, min_secs=0.3, interval_ms=10))
    assert found.num_runs > 2
    assert found.interval_ms == 10


def test_progress_is_told_of_every_run() -> None:
    told: list[int] = []
    found = measure(quick(runs=50, interval_ms=10), on_progress=told.append)
    assert sum(told) == found.num_runs == 50
    assert len(told) > 1


def test_memory_is_what_the_model_added() -> None:
    small, large = (measure(quick(name)) for name in ("digits_xs_int8", "digits_l_fp32"))
    for found in (small, large):
        assert found.init_mem_bytes is not None
        assert found.overall_mem_bytes is not None
        assert 0 < found.init_mem_bytes <= found.overall_mem_bytes < 200e6
    assert large.overall_mem_bytes > small.overall_mem_bytes  # type: ignore[operator]


@linux
def test_processor_time_is_shown_unless_the_runs_are_spaced() -> None:
    busy, spaced = measure(quick(min_secs=0.5)), measure(quick(interval_ms=1))
    assert busy.cpu_per_wall is not None
    assert 0 < busy.cpu_per_wall < 1.2
    assert spaced.cpu_per_wall is None


def test_threads_are_the_runtimes() -> None:
    assert measure(quick(threads=2)).num_threads == 2
    with pytest.raises(UsageError, match="from 1 to 256, not 0"):
        measure(quick(threads=0))


def test_decoding_is_part_of_the_time_with_pictures(sample: Path) -> None:
    found = measure(quick(images=(str(sample),), scaled_decode=False))
    assert (found.decode, found.input[:9]) == (True, "1 picture")
    assert len(found.decode_samples_ms) == found.num_runs == 5
    assert all(0 < decode < whole for decode, whole in zip(found.decode_samples_ms, found.samples_ms, strict=True))


def test_a_bad_picture_costs_itself_alone(sample: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_text("no picture")
    notes: list[str] = []
    found = measure(quick(images=(str(tmp_path / "bad.png"), str(sample))), on_error=notes.append)
    assert found.num_runs == 5
    assert len(notes) == 1
    assert f"{tmp_path / 'bad.png'}: is not a picture" in notes[0]
    # What was measured is the one that could be read.
    assert found.input.startswith("1 picture")


def test_no_picture_that_can_be_read_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="none of the pictures can be read") as caught:
        measure(quick(images=(str(tmp_path / "missing.png"),)))
    one_line(caught)


# Models


def test_an_unknown_file_is_tried_before_and_then_measured(stranger: Path) -> None:
    found = measure(quick(stranger))
    assert (found.model, found.sha256, found.precision) == ("stranger", files.sha256(stranger), "fp32")
    assert found.model_size_bytes == stranger.stat().st_size
    assert [path.name.partition(".")[0] for path in (files.cache_dir() / "tried").iterdir()] == [found.sha256]


def test_a_damaged_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "bad.tflite").write_bytes(zoo.find("digits_xs_fp32").path.read_bytes()[:9000])
    with pytest.raises(ModelError, match=r"bad\.tflite") as caught:
        measure(quick(tmp_path / "bad.tflite"))
    one_line(caught)


def test_a_file_that_is_removed_before_the_child_reads_it_is_one_line(
    stranger: Path, python: Callable[[str], None]
) -> None:
    resolve(str(stranger))
    python(f'rm "{stranger}"\nexec "{sys.executable}" "$@"')
    with pytest.raises(BenchError, match=r"stranger\.tflite: no such file") as caught:
        measure(quick(stranger))
    one_line(caught)


def test_a_file_that_is_removed_meanwhile_was_measured(stranger: Path) -> None:
    size = stranger.stat().st_size
    found = measure(quick(stranger), on_progress=lambda steps: stranger.unlink())
    assert (found.num_runs, found.model_size_bytes) == (5, size)


@pytest.mark.parametrize("limits", [Limits(), pytest.param(Limits(memory_bytes=500 << 20), marks=linux)])
def test_a_runtime_that_is_not_installed_is_said_and_nothing_else(limits: Limits) -> None:
    if runtimes.version("tflite-runtime"):
        pytest.skip("tflite-runtime is installed here")
    with pytest.raises(OnDeviceError, match="pip install tflite-runtime") as caught:
        measure(quick(runtime="tflite-runtime"), limits)
    assert "--memory" not in one_line(caught)


# A child that dies


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo one >&2; echo two >&2; exit 3", "digits_xs_int8: the measuring process died (exit status 3): two"),
        ("exit 7", "digits_xs_int8: the measuring process died (exit status 7): it said nothing"),
        ("exit 0", "digits_xs_int8: the measuring process died (exit status 0): it said nothing"),
        ("kill -SEGV $$", "digits_xs_int8: the measuring process died (SIGSEGV): it said nothing"),
    ],
)
def test_a_child_that_dies_at_once_is_one_line(python: Callable[[str], None], script: str, said: str) -> None:
    python(script)
    with pytest.raises(BenchError) as caught:
        measure(quick())
    assert one_line(caught) == said


@linux
def test_a_child_that_is_killed_in_the_middle_is_one_line() -> None:
    def kill(steps: int) -> None:
        for child in children():
            os.kill(child, signal.SIGKILL)

    with pytest.raises(BenchError, match=r"the measuring process died \(SIGKILL\)") as caught:
        measure(quick(runs=100_000), on_progress=kill)
    one_line(caught)
    assert children() == []


# Ctrl-C


@linux
def test_an_interrupt_hands_over_what_was_measured_so_far() -> None:
    told: list[int] = []

    def interrupt(steps: int) -> None:
        told.append(steps)
        assert len(children()) == 1
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        measure(quick(runs=100_000), on_progress=interrupt)
    found = caught.value.record
    assert found is not None
    assert found.num_runs == told[0] < 100_000
    assert (found.verdict, found.reasons[0]) == ("INVALID", f"interrupted after {told[0]} runs")
    assert (found.model, found.num_warmup_runs, found.overall_mem_bytes) == ("digits_xs_int8", 1, None)
    assert children() == []


def test_an_interrupt_before_the_first_run_has_no_record(sample: Path, tmp_path: Path) -> None:
    def interrupt(note: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(Interrupted) as caught:
        measure(quick(images=(str(tmp_path / "missing.png"), str(sample))), on_error=interrupt)
    assert caught.value.record is None


# Limits


@linux
@pytest.mark.parametrize("threads", [1, 2])
def test_processors_are_in_force_in_the_child(threads: int) -> None:
    one = min(os.sched_getaffinity(0))
    seen: list[set[int]] = []
    # Looked at while it runs: on a busy machine this process may come to that late.
    found = measure(
        quick(threads=threads, min_secs=2.0), Limits(cpus=(one,)), on_progress=lambda steps: seen.extend(allowed())
    )
    assert seen
    assert all(cpus == {one} for cpus in seen)
    assert list(found.limits["cpus"]) == [one]


@linux
def test_without_limits_the_child_may_use_all_processors() -> None:
    seen: list[set[int]] = []
    found = measure(quick(min_secs=0.6), on_progress=lambda steps: seen.extend(allowed()))
    assert set.union(*seen) == os.sched_getaffinity(0)
    assert found.limits == {}


@linux
def test_too_little_memory_is_one_line_that_names_the_limit() -> None:
    with pytest.raises(BenchError, match="digits_xs_int8 does not fit into --memory 20 MB; give it more") as caught:
        measure(quick(), Limits(memory_bytes=20_000_000))
    one_line(caught)


@linux
@pytest.mark.parametrize("megabytes", [56, 64, 68])
def test_on_the_verge_it_fits_or_it_is_one_line(megabytes: int) -> None:
    try:
        found = measure(quick("digits_l_fp32"), Limits(memory_bytes=megabytes * 1_000_000))
    except BenchError as error:
        assert f"does not fit into --memory {megabytes} MB" in str(error)  # noqa: PT017
        assert "\n" not in str(error)  # noqa: PT017
    else:
        assert found.num_runs == 5


@linux
def test_enough_memory_is_enough() -> None:
    found = measure(quick(), Limits(memory_bytes=500_000_000))
    assert found.limits == {"memory_bytes": 500_000_000}
    assert found.num_runs == 5


@linux
def test_a_child_whose_memory_gives_out_is_one_line(python: Callable[[str], None]) -> None:
    python("echo 'terminate called after throwing std::bad_alloc' >&2; kill -ABRT $$")
    with pytest.raises(BenchError, match=r"does not fit into --memory 500 MB.*SIGABRT\): terminate called") as caught:
        measure(quick(), Limits(memory_bytes=500_000_000))
    one_line(caught)


def test_a_quota_is_in_force_and_its_group_gone_afterwards(place: cgroup.Hierarchy) -> None:
    groups: set[Path] = set()
    found = measure(
        quick("digits_m_fp32", min_secs=1.5),
        Limits(cpu_quota=0.5),
        on_progress=lambda steps: groups.update(place.own.glob(f"ondevice-{os.getpid()}-*")),
    )
    assert found.cpu_per_wall is not None
    assert found.cpu_per_wall <= 0.65
    assert found.limits == {"cpu_quota": 0.5}
    assert len(groups) == 1
    assert not groups.pop().exists()


def test_the_group_is_gone_after_an_interrupt_too(place: cgroup.Hierarchy) -> None:
    groups: set[Path] = set()

    def interrupt(steps: int) -> None:
        groups.update(place.own.glob(f"ondevice-{os.getpid()}-*"))
        raise KeyboardInterrupt

    with pytest.raises(Interrupted):
        measure(quick(min_secs=60), Limits(cpu_quota=0.5), interrupt)
    assert len(groups) == 1
    assert not groups.pop().exists()
    assert children() == []


@linux
@pytest.mark.parametrize(
    "limits", [Limits(cpus=(4000,)), Limits(cpu_quota=0.0), Limits(cpu_quota=50.0 * (os.cpu_count() or 1)),
               Limits(memory_bytes=1), Limits(memory_bytes=1 << 60)],
)  # fmt: skip
def test_limits_that_cannot_be_are_refused_before_anything_starts(
    limits: Limits, python: Callable[[str], None], tmp_path: Path
) -> None:
    python(f"touch {tmp_path}/started")
    with pytest.raises(UsageError) as caught:
        measure(quick(), limits)
    one_line(caught)
    assert not (tmp_path / "started").exists()


@linux
@pytest.mark.parametrize("limits", [Limits(cpus=(0,)), Limits(cpu_quota=0.5)])
def test_an_emulated_device_has_its_own_processors(limits: Limits) -> None:
    with pytest.raises(UsageError, match="pixel-3 is emulated under its own limits: leave --cpus and --cpu-quota out"):
        measure(quick(device="pixel-3"), limits)


# The machine


def test_throttling_that_began_during_the_runs_spoils_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The firmware's word before the runs, and its word after: under-voltage long ago, then throttled now.
    vcgencmd = tmp_path / "vcgencmd"
    vcgencmd.write_text(f"#!/bin/sh\ncat {tmp_path}/word 2>/dev/null || echo throttled=0x10000\n")
    vcgencmd.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    pi = RaspberryPi()
    monkeypatch.setattr(host, "current", lambda: pi)
    found = measure(quick())
    assert not [reason for reason in found.reasons if reason.startswith("throttled")]
    assert found.host["throttled"] == "under-voltage since boot"

    def throttle(steps: int) -> None:
        (tmp_path / "word").write_text("throttled=0x50004")

    found = measure(quick(), on_progress=throttle)
    assert "throttled: throttled" in found.reasons
    assert found.host["platform"] == "raspberry-pi"


@linux
def test_a_busy_machine_is_found_out() -> None:
    machine = host.current()
    if machine.cpu_times() is None or machine.cpu_budget() < host.system.cores():
        pytest.skip("not all processors are ours to keep busy, or the system does not show what they do")
    with contextlib.ExitStack() as stack:
        for _ in range(host.system.cores()):
            spinning = stack.enter_context(subprocess.Popen([sys.executable, "-c", "while True: pass"]))
            stack.callback(spinning.kill)
        time.sleep(0.2)
        found = measure(quick(min_secs=1))
    assert found.other_cpu is not None
    assert found.other_cpu > 0.1
    assert any(reason.startswith("busy machine") for reason in found.reasons)
