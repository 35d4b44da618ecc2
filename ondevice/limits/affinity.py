"""The processors that a process may run on: as people type them, checked, and bound to every thread of it."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from pathlib import Path

from ondevice import words
from ondevice.errors import OnDeviceError, UsageError

# No Linux is built for more processors (CONFIG_NR_CPUS of x86-64 with MAXSMP).
_CPU_NUMBERS = range(8192)


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


def check_cpus(cpus: Iterable[int]) -> None:
    """Return if this process may run on all these processors, one at least. Raises UsageError."""
    wanted, allowed = set(cpus), os.sched_getaffinity(0)
    if not wanted or not wanted <= allowed:
        raise UsageError(f"--cpus {ranges(wanted)}: this process may run on {ranges(allowed)}")


def pin(cpus: Iterable[int]) -> None:
    """Let every thread of this process, and every one to come, run on these processors alone. Raises OnDeviceError."""
    wanted = set(cpus)
    try:
        # One thread at a time, for a library that is loaded already may have started some (numpy's BLAS does).
        for task in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                _pin_thread(int(task.name), wanted)
    except OSError as error:
        raise OnDeviceError(
            f"--cpus {ranges(wanted)} was refused ({words.reason(error)}); give processors that are online"
        ) from error


def _pin_thread(thread: int, wanted: set[int]) -> None:
    os.sched_setaffinity(thread, wanted)
    if (got := os.sched_getaffinity(thread)) != wanted:
        raise OnDeviceError(f"--cpus {ranges(wanted)} is not in force: the system allows {ranges(got)} of them")


def ranges(cpus: Iterable[int]) -> str:
    """Processor numbers as `parse_cpus` takes them: 0-3,6."""
    spans: list[list[int]] = []
    for cpu in sorted(cpus):
        if spans and cpu == spans[-1][-1] + 1:
            spans[-1][1:] = [cpu]
        else:
            spans.append([cpu])
    return ",".join("-".join(map(str, span)) for span in spans)
