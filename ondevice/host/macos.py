"""macOS: what `sysctl` says. There is no affinity and no quota, and sensors are for root alone."""

from __future__ import annotations

import os
import sys

from ondevice.host.base import Host, said

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

    def cpu_model(self) -> str:
        """The processor's name, or the architecture."""
        return _sysctl("machdep.cpu.brand_string") or self.kernel_machine()

    def cpu_features(self) -> list[str]:
        """The vector instructions that CNN kernels use, of those that the kernel names."""
        return [feature for feature, key in _CPU_FEATURES.items() if _sysctl(key) == "1"]

    def memory_bytes(self) -> int:
        """The machine's memory."""
        return int(_sysctl("hw.memsize") or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))

    def load_average(self) -> float | None:
        """How many processes were running or ready, on average over the last minute."""
        return os.getloadavg()[0]

    def peak_memory_bytes(self) -> int:
        """The most memory that was resident for this process at any time."""
        import resource

        # Bytes, where Linux counts in KiB.
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def resident_bytes(self) -> int | None:
        """The memory that is resident for this process now."""
        text = said("ps", "-o", "rss=", "-p", str(os.getpid()))
        return int(text) * 1024 if text else None


def _sysctl(key: str) -> str:
    return said("sysctl", "-n", key)
