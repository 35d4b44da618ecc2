"""What Python and the kernel say of any machine, whatever the platform: its cores, its bits, its architecture."""

from __future__ import annotations

import os
import struct


def cores() -> int:
    """The processors that the system has."""
    return os.cpu_count() or 1


def usable_cores() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores()


def bits() -> int:
    """32 or 64: of this Python, which on a 64-bit kernel may still be 32."""
    return struct.calcsize("P") * 8


def kernel_machine() -> str:
    """The kernel's architecture, as `uname -m` says it."""
    return os.uname().machine


def mixed_bits() -> bool:
    """Whether this is a 32-bit system on a 64-bit kernel, so that `uname -m` misleads."""
    # A 64-bit kernel on ARM calls itself armv8l to processes under linux32; a 32-bit kernel stays at armv7l.
    return bits() == 32 and ("64" in kernel_machine() or kernel_machine() == "armv8l")


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
