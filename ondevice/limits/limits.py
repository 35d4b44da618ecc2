"""Limits that the kernel enforces: processors and memory here, CPU time in `ondevice.limits.cgroup`."""

from __future__ import annotations

import contextlib
import math
import os
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from ondevice.errors import OnDeviceError, UsageError

MIN_MEMORY_BYTES = 1 << 20
# The kernel takes no quota below 1 ms in a period of 100 ms.
MIN_QUOTA = 0.01
_CPU_NUMBERS = range(8192)
_SYSTEMS = ("linux", "android")
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)


@dataclass(frozen=True)
class Limits:
    """What a measurement may use; None is no limit.

    cpus: the processors to run on, by number. cpu_quota: CPUs' worth of time, 0.5 being half of one processor's.
    memory_bytes: private writable memory, see `apply_here`.
    """

    cpus: tuple[int, ...] | None = None
    cpu_quota: float | None = None
    memory_bytes: int | None = None

    def check(self) -> None:
        """Return if this machine and this process have what the limits ask for. Raises UsageError."""
        if self != Limits() and sys.platform not in _SYSTEMS:
            raise UsageError(
                f"--cpus, --cpu-quota and --memory need Linux: {sys.platform} enforces none of them; leave them out"
            )
        self._check_cpus()
        self._check_quota()
        self._check_memory()

    def apply_here(self) -> None:
        """Limit this process, for good: call it in the child, before it loads a model.

        The processors bind every thread that there is and that comes. The memory limit is RLIMIT_DATA, which since
        Linux 4.7 counts the process's private writable mappings, by the size asked for rather than by the pages
        touched: heap, anonymous mappings, thread stacks (8 MiB each by default), libraries' data; Python's own too. It
        does not count the main stack, what is mapped shared or read-only (a model file, code) or what is reserved
        without access. An allocation beyond it fails (MemoryError in Python, the runtime's own error or an abort in
        native code); nothing is killed for want of memory. CPU time is limited by the parent, with
        `ondevice.limits.cgroup.cpu_group`. Raises OnDeviceError where a limit is not in force afterwards, or this
        process is over it already.
        """
        if self.cpus is not None:
            _pin(self.cpus)
        if self.memory_bytes is not None:
            _cap_memory(self.memory_bytes)

    def _check_cpus(self) -> None:
        if self.cpus is None:
            return
        allowed = os.sched_getaffinity(0)
        if not self.cpus or not allowed.issuperset(self.cpus):
            raise UsageError(f"--cpus {_ranges(self.cpus)}: this process may run on {_ranges(allowed)}")

    def _check_quota(self) -> None:
        if self.cpu_quota is None:
            return
        cores = os.cpu_count() or 1
        if not MIN_QUOTA <= self.cpu_quota <= cores:
            raise UsageError(
                f"--cpu-quota {self.cpu_quota:g} ({self.cpu_quota * 100:g} %): this machine has {cores} cores; "
                f"give {MIN_QUOTA:g} to {cores}"
            )

    def _check_memory(self) -> None:
        if self.memory_bytes is None:
            return
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        if not MIN_MEMORY_BYTES <= self.memory_bytes <= machine:
            raise UsageError(
                f"--memory {self.memory_bytes} bytes: give 1MiB or more, and no more than the machine's "
                f"{machine / 1e6:.0f} MB"
            )


def parse_cpus(text: str) -> tuple[int, ...]:
    """Processor numbers, ascending, from "0,1" or "0-3,6". Raises UsageError."""
    numbers: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d{1,4})(?:-(\d{1,4}))?\s*", part, re.ASCII)
        span = range(int(match[1]), int(match[2] or match[1]) + 1) if match else range(0)
        if not span or span[-1] not in _CPU_NUMBERS:
            raise UsageError(f"--cpus takes processor numbers such as 0,1 or 0-3,6, not '{text}'")
        numbers.update(span)
    return tuple(sorted(numbers))


def parse_quota(text: str) -> float:
    """CPUs' worth of time from "0.5" or "50%". Raises UsageError."""
    number = text.strip().removesuffix("%")
    try:
        quota = float(number) / (100 if number != text.strip() else 1)
    except ValueError:
        quota = math.nan
    if not math.isfinite(quota):
        raise UsageError(f"--cpu-quota takes a number of CPUs such as 0.5, or a percentage such as 50%, not '{text}'")
    return quota


def parse_memory(text: str) -> int:
    """Bytes from "256MB" or "256M" (10^6), "1GiB" (2^30), "1.5GB", or plain bytes. Raises UsageError."""
    match = _MEMORY.fullmatch(text.strip())
    if not match:
        raise UsageError(f"--memory takes a size such as 256MB, 1.5GB, 512MiB or a number of bytes, not '{text}'")
    number, prefix, binary = match.groups()
    power = "kmgt".index(prefix.lower()) + 1 if prefix else 0
    unit: int = (1024 if binary else 1000) ** power
    return round(float(number) * unit)


def _ranges(cpus: Iterable[int]) -> str:
    """Processor numbers as `parse_cpus` takes them: 0-3,6."""
    spans: list[list[int]] = []
    for cpu in sorted(cpus):
        if spans and cpu == spans[-1][-1] + 1:
            spans[-1][1:] = [cpu]
        else:
            spans.append([cpu])
    return ",".join("-".join(map(str, span)) for span in spans)


def _pin(cpus: Iterable[int]) -> None:
    wanted = set(cpus)
    try:
        # One thread at a time, for a library that is loaded already may have started some (numpy's BLAS does).
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                _pin_thread(int(task.name), wanted)
    except OSError as error:
        raise OnDeviceError(
            f"--cpus {_ranges(wanted)} was refused ({error.strerror}); give processors that are online"
        ) from error


def _pin_thread(thread: int, wanted: set[int]) -> None:
    os.sched_setaffinity(thread, wanted)
    if (got := os.sched_getaffinity(thread)) != wanted:
        raise OnDeviceError(f"--cpus {_ranges(wanted)} is not in force: the system allows {_ranges(got)} of them")


def _cap_memory(limit: int) -> None:
    import resource

    if (taken := _private_writable_bytes()) >= limit:
        raise OnDeviceError(
            f"--memory {limit} bytes is less than Python and its libraries take ({taken / 1e6:.0f} MB); give more"
        )
    hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
    if hard != resource.RLIM_INFINITY and hard < limit:
        raise OnDeviceError(
            f"--memory {limit} bytes: this process is limited to {hard} bytes already (ulimit -d); give less"
        )
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    if resource.getrlimit(resource.RLIMIT_DATA) != (limit, limit) or _can_map(limit):
        raise OnDeviceError("--memory is not enforced by this system's kernel (RLIMIT_DATA); run without it")


def _private_writable_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="utf-8", errors="replace")
    match = re.search(r"^VmData:\s*(\d+) kB$", status, re.MULTILINE)
    return int(match[1]) * 1024 if match else 0


def _can_map(size: int) -> bool:
    """Whether the kernel still hands out so much private memory: it may be booted to ignore RLIMIT_DATA."""
    import mmap

    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, OverflowError):
        return False
    return True
