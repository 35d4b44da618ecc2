"""macOS: what `sysctl` says. It has neither affinity nor quotas, and shows its sensors to root alone."""

from __future__ import annotations

import os
import sys

from ondevice.host.base import Host
from ondevice.host.command import output_of
from ondevice.host.memory import Memory
from ondevice.host.system import kernel_machine

# Linux's names, and where macOS says the same.
_CPU_FEATURES = {
    "asimd": "hw.optional.neon",
    "asimdhp": "hw.optional.arm.FEAT_FP16",
    "asimddp": "hw.optional.arm.FEAT_DotProd",
    "i8mm": "hw.optional.arm.FEAT_I8MM",
}


class MacOS(Host):
    """A Mac."""

    name = "macos"

    def is_here(self) -> bool:
        """Whether the kernel is Darwin."""
        return sys.platform == "darwin"

    @property
    def memory(self) -> Memory:
        """The memory as `sysctl` and `ps` show it."""
        return MacMemory()

    def cpu_model(self) -> str:
        """The processor's name, or the architecture."""
        return _sysctl("machdep.cpu.brand_string") or kernel_machine()

    def cpu_features(self) -> list[str]:
        """The vector instructions that CNN kernels use, of those that the kernel names."""
        return [feature for feature, key in _CPU_FEATURES.items() if _sysctl(key) == "1"]

    def load_average(self) -> float | None:
        """How many processes were running or ready, on average over the last minute."""
        return os.getloadavg()[0]


class MacMemory(Memory):
    """Memory as `sysctl` and `ps` show it."""

    def total_bytes(self) -> int:
        """The machine's memory."""
        return int(_sysctl("hw.memsize") or super().total_bytes())

    def peak_bytes(self) -> int:
        """The most that was resident for this process at any time."""
        import resource

        # Bytes, where Linux counts in KiB.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def resident_bytes(self) -> int | None:
        """What is resident for this process now."""
        text = output_of("ps", "-o", "rss=", "-p", str(os.getpid()))
        return int(text) * 1024 if text else None


def _sysctl(key: str) -> str:
    return output_of("sysctl", "-n", key)
