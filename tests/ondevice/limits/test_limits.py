"""Limits are checked against this machine, and really in force in a child."""

from __future__ import annotations

import os
import resource
import subprocess
import sys

import pytest

from ondevice.errors import UsageError
from ondevice.limits.limits import Limits

CPU = min(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0
CORES = os.cpu_count() or 1
linux = pytest.mark.skipif(sys.platform != "linux", reason="only Linux enforces these limits")


def child(program: str) -> subprocess.CompletedProcess[str]:
    head = "import os, resource, sys, threading\nfrom ondevice.limits.limits import Limits\n"
    return subprocess.run([sys.executable, "-c", head + program], capture_output=True, text=True, check=False)


@linux
def test_what_the_machine_has_passes() -> None:
    Limits().check()
    usable = tuple(sorted(os.sched_getaffinity(0)))
    asked = Limits(usable, float(CORES), 256_000_000)
    asked.check()
    assert asked.cpus == usable


@linux
@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (Limits(cpus=(99,)), r"--cpus 99: this process may run on [\d,-]+$"),
        (Limits(cpus=(CPU, 4000, 4001)), rf"--cpus {CPU},4000-4001: this process may run on"),
        (Limits(cpus=()), "may run on"),
        (Limits(cpu_quota=0.0), r"--cpu-quota 0 \(0 %\)"),
        (Limits(cpu_quota=-1.0), "--cpu-quota -1"),
        (Limits(cpu_quota=0.001), "give 0.01 to"),
        (Limits(cpu_quota=5000.0), rf"--cpu-quota 5000 \(500000 %\): this machine has {CORES} cores"),
        (Limits(cpu_quota=float("nan")), "--cpu-quota nan"),
        (Limits(memory_bytes=0), "--memory 0 bytes: give 1MiB or more"),
        (Limits(memory_bytes=(1 << 20) - 1), "give 1MiB or more"),
        (Limits(memory_bytes=1 << 60), r"no more than the machine's \d+ MB"),
    ],
)
def test_what_the_machine_has_not_is_refused(asked: Limits, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        asked.check()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("asked", [Limits(cpus=(0,)), Limits(cpu_quota=0.5), Limits(memory_bytes=1 << 28)])
def test_a_system_that_enforces_nothing_says_so(asked: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(UsageError, match="need Linux: darwin"):
        asked.check()


def test_a_system_that_enforces_nothing_is_good_enough_for_no_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    asked = Limits()
    asked.check()
    assert asked == Limits(None, None, None)


@linux
def test_processors_bind_threads_that_run_already_and_threads_to_come() -> None:
    done = child(
        f"""
go = threading.Event()
def show():
    go.wait()
    print(os.sched_getaffinity(0))
early = threading.Thread(target=show)
early.start()
Limits(cpus=({CPU},)).apply_here()
go.set()
early.join()
show()
threading.Thread(target=show).start()
"""
    )
    assert done.stdout.splitlines() == [f"{{{CPU}}}"] * 3, done.stderr


@linux
def test_processors_that_there_are_not_are_refused_in_one_line() -> None:
    done = child("Limits(cpus=(4000,)).apply_here()")
    assert done.returncode == 1
    assert "OnDeviceError: --cpus 4000 was refused" in done.stderr.splitlines()[-1]


@linux
@pytest.mark.parametrize("limit", [300 << 20, 300_000_001])
def test_an_allocation_beyond_the_memory_fails_and_the_process_lives(limit: int) -> None:
    done = child(
        f"""
Limits(memory_bytes={limit}).apply_here()
print(resource.getrlimit(resource.RLIMIT_DATA))
small = bytearray(100 << 20)
try:
    bytearray({limit})
except MemoryError:
    print("no memory")
print(len(small))
"""
    )
    assert done.stdout.splitlines() == [f"({limit}, {limit})", "no memory", str(100 << 20)], done.stderr


@linux
def test_memory_is_what_is_private_and_writable() -> None:
    done = child(
        """
import mmap
Limits(memory_bytes=200 << 20).apply_here()
def can(**how):
    try:
        mmap.mmap(-1, 300 << 20, **how).close()
    except OSError:
        return False
    return True
print(can(flags=mmap.MAP_PRIVATE), can(flags=mmap.MAP_SHARED), can(flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ))
threading.stack_size(200 << 20)
try:
    threading.Thread(target=print).start()
except RuntimeError as error:
    print(error)
"""
    )
    assert done.stdout.splitlines() == ["False True True", "can't start new thread"], done.stderr


@linux
def test_less_memory_than_python_itself_has_is_one_line() -> None:
    done = child("Limits(memory_bytes=1 << 20).apply_here()")
    assert done.returncode == 1
    assert "--memory 1048576 bytes is less than Python and its libraries take" in done.stderr.splitlines()[-1]


@linux
def test_more_memory_than_the_process_is_limited_to_already_is_one_line() -> None:
    done = child(
        "resource.setrlimit(resource.RLIMIT_DATA, (200 << 20,) * 2)\nLimits(memory_bytes=300 << 20).apply_here()"
    )
    assert done.returncode == 1
    assert "limited to 209715200 bytes already (ulimit -d); give less" in done.stderr.splitlines()[-1]


@linux
def test_a_kernel_that_ignores_the_memory_limit_is_found_out() -> None:
    # As with the kernel parameter ignore_rlimit_data, or a system-call emulator: the limit reads back but does nothing.
    done = child(
        """
limit = []
resource.setrlimit = lambda which, pair: limit.append(pair)
resource.getrlimit = lambda which: limit[-1] if limit else (resource.RLIM_INFINITY,) * 2
Limits(memory_bytes=300 << 20).apply_here()
"""
    )
    assert "--memory is not enforced by this system's kernel" in done.stderr.splitlines()[-1]


@linux
def test_no_limits_change_nothing() -> None:
    done = child("Limits().apply_here(); print(os.sched_getaffinity(0), resource.getrlimit(resource.RLIMIT_DATA))")
    assert done.stdout.strip() == f"{os.sched_getaffinity(0)} {resource.getrlimit(resource.RLIMIT_DATA)}", done.stderr
