"""What this machine is and what limits it is under: processor, quotas, governor, throttling."""

from __future__ import annotations

import contextlib
import os
import platform
import struct
import subprocess
import sys
from pathlib import Path

_CPU_FEATURES = (
    "sse4_2",
    "avx",
    "avx2",
    "avx512f",
    "avx512_vnni",
    "amx_int8",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "neon",
)
# vcgencmd get_throttled: what is so now; the same bits 16 higher say it was so since boot.
_THROTTLE_BITS = {0: "under-voltage", 1: "frequency capped", 2: "throttled", 3: "soft temperature limit"}


def is_termux() -> bool:
    """Whether this is Python in Termux on Android."""
    return sys.platform == "android" or "com.termux" in os.environ.get("PREFIX", "")


def cpu_model() -> str:
    """The processor's name, or the board's on ARM, or the architecture."""
    for path in ("/proc/device-tree/model", "/sys/firmware/devicetree/base/model"):
        if text := _read(path):
            return text.strip("\0 \n")
    for key in ("model name", "Hardware"):
        if value := _cpuinfo(key):
            return value
    return platform.processor() or platform.machine()


def cpu_features() -> list[str]:
    """The vector instructions that CNN kernels use, of those that the system names."""
    named = set((_cpuinfo("flags") or _cpuinfo("Features")).split())
    return [feature for feature in _CPU_FEATURES if feature in named]


def bits() -> int:
    """32 or 64: of this Python, which on a 64-bit kernel may still be 32."""
    return struct.calcsize("P") * 8


def cores() -> int:
    """The processors that the system has."""
    return os.cpu_count() or 1


def usable_cores() -> int:
    """The processors that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else cores()


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """The CPUs' worth of time that the control groups (v2 or v1) grant, the smallest on the way to the root.

    None where there is no quota.
    """
    quotas = []
    for line in (_read(membership) or "").splitlines():
        _, controllers, group = line.split(":", 2)
        base = root if not controllers else root / "cpu" if "cpu" in controllers.split(",") else None
        if base is not None:
            inside = Path(group.lstrip("/"))
            quotas += [_quota(base / part) for part in (inside, *inside.parents)]
    found = [quota for quota in quotas if quota is not None]
    return min(found, default=None)


def _quota(group: Path) -> float | None:
    if text := _read(group / "cpu.max"):
        limit, period = text.split()
        return None if limit == "max" else int(limit) / int(period)
    limit, period = _read(group / "cpu.cfs_quota_us").strip(), _read(group / "cpu.cfs_period_us").strip()
    return int(limit) / int(period) if limit and period and int(limit) > 0 else None


def governor() -> str:
    """The first processor's frequency governor, or empty."""
    return _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip()


def memory_bytes() -> int:
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def throttling() -> str:
    """What a Raspberry Pi says of its throttling, in words; empty where there is no vcgencmd."""
    with contextlib.suppress(OSError, subprocess.SubprocessError, ValueError, IndexError):
        done = subprocess.run(["vcgencmd", "get_throttled"], capture_output=True, text=True, timeout=5, check=True)
        return _throttling(int(done.stdout.strip().split("=")[1], 16))
    return ""


def _throttling(word: int) -> str:
    now = [f"{name} now" for bit, name in _THROTTLE_BITS.items() if word >> bit & 1]
    since = [f"{name} since boot" for bit, name in _THROTTLE_BITS.items() if word >> (bit + 16) & 1]
    return ", ".join(now + since) or "none"


def _cpuinfo(key: str) -> str:
    for line in _read("/proc/cpuinfo").splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
