"""The memory that a process may take: as people type it, checked, and enforced by RLIMIT_DATA."""

from __future__ import annotations

import re
from pathlib import Path

from ondevice.errors import OnDeviceError, UsageError
from ondevice.host import system
from ondevice.host.procfs import field

# Less is a forgotten unit (`--memory 256`): Python and numpy alone take 60 to 100 MB.
MIN_MEMORY_BYTES = 1 << 20
_MEMORY = re.compile(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?)b?|b)?", re.IGNORECASE)


def parse_memory(text: str) -> int:
    """Bytes from "256MB" or "256M" (10^6), "1GiB" (2^30), "1.5GB", or plain bytes. Raises UsageError."""
    match = _MEMORY.fullmatch(text.strip())
    if not match:
        raise UsageError(f"'{text[:40]}' is not a size: give one such as 256MB, 1.5GB, 512MiB, or a number of bytes")
    number, prefix, binary = match.groups()
    power = "kmgt".index(prefix.lower()) + 1 if prefix else 0
    unit: int = (1024 if binary else 1000) ** power
    return round(float(number) * unit)


def check_memory(limit: int) -> None:
    """Return if the machine has that many bytes, and they can be meant. Raises UsageError."""
    machine = system.memory_bytes()
    if not MIN_MEMORY_BYTES <= limit <= machine:
        raise UsageError(
            f"--memory {limit} bytes: give 1MiB or more, and no more than the machine's {machine / 1e6:.0f} MB"
        )


def cap(limit: int) -> None:
    """Let this process have no more private writable memory than `limit` bytes, for good.

    That is RLIMIT_DATA, which since Linux 4.7 counts the process's private writable mappings, by the size asked for
    rather than by the pages touched: heap, anonymous mappings, thread stacks (8 MiB each by default), libraries' data;
    Python's own too. It does not count the main stack, what is mapped shared or read-only (a model file, code) or what
    is reserved without access. An allocation beyond it fails (MemoryError in Python, the runtime's own error or an
    abort in native code); nothing is killed for want of memory. Raises OnDeviceError where it is not in force
    afterwards, or the process is over it already.
    """
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
    text = field(Path("/proc/self/status"), "VmData")
    return int(text.removesuffix("kB")) * 1024 if text else 0


def _can_map(size: int) -> bool:
    """Whether the kernel still hands out so much private memory: it may be booted to ignore RLIMIT_DATA."""
    import mmap

    try:
        mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, OverflowError):
        return False
    return True
