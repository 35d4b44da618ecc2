"""What every platform is asked. A platform that does not show something answers None, or an empty string."""

from __future__ import annotations

import os
import struct
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

_COMMAND_TIMEOUT_S = 5.0


class CpuTimes(NamedTuple):
    """Seconds of all processors together since boot, from which two readings make a share.

    busy_s: working for this system. total_s: working, idle and stolen. steal_s: taken by the hypervisor for others.
    """

    busy_s: float
    total_s: float
    steal_s: float


@dataclass(frozen=True)
class Throttling:
    """What slows the processor down at this moment, and what has at any time since boot; both empty: nothing."""

    now: tuple[str, ...]
    since_boot: tuple[str, ...]

    def __str__(self) -> str:
        words = [f"{what} now" for what in self.now] + [f"{what} since boot" for what in self.since_boot]
        return ", ".join(words) or "none"


class Host(ABC):
    """A machine: its processor, its memory, and the limits that it is under at this moment."""

    name: ClassVar[str]

    @abstractmethod
    def is_here(self) -> bool:
        """Whether this process runs on such a machine."""

    @abstractmethod
    def cpu_model(self) -> str:
        """The processor's name, or the board's or the phone's where that says more."""

    @abstractmethod
    def cpu_features(self) -> list[str]:
        """The vector instructions that CNN kernels use, of those that the system names, by Linux's names."""

    @abstractmethod
    def memory_bytes(self) -> int:
        """The machine's memory."""

    @abstractmethod
    def peak_memory_bytes(self) -> int:
        """The most memory that was resident for this process at any time."""

    @abstractmethod
    def resident_bytes(self) -> int | None:
        """The memory that is resident for this process now."""

    def takes_wheels(self) -> bool:
        """Whether the binary packages that are built for all systems of this kind load here."""
        return True

    def bits(self) -> int:
        """32 or 64: of this Python, which on a 64-bit kernel may still be 32."""
        return struct.calcsize("P") * 8

    def kernel_machine(self) -> str:
        """The kernel's architecture, as `uname -m` says it."""
        return os.uname().machine

    def mixed_bits(self) -> bool:
        """Whether this is a 32-bit system on a 64-bit kernel, so that `uname -m` misleads."""
        # A 64-bit kernel on ARM calls itself armv8l to processes under linux32; a 32-bit kernel stays at armv7l.
        return self.bits() == 32 and ("64" in self.kernel_machine() or self.kernel_machine() == "armv8l")

    def cores(self) -> int:
        """The processors that the system has."""
        return os.cpu_count() or 1

    def usable_cores(self) -> int:
        """The processors that this process may run on."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else self.cores()

    def cpu_quota(self) -> float | None:
        """The CPUs' worth of time that this process is granted; None where there is no quota."""
        return None

    def cpu_budget(self) -> int:
        """The threads that can run at the same time under affinity and quota, at least 1."""
        quota = self.cpu_quota()
        return self.usable_cores() if quota is None else max(1, min(self.usable_cores(), int(quota)))

    def governor(self) -> str:
        """The first processor's frequency governor."""
        return ""

    def frequency_mhz(self) -> float | None:
        """The fastest processor's clock now."""
        return None

    def temperature_c(self) -> float | None:
        """The processor's temperature now, in °C."""
        return None

    def throttling(self) -> Throttling | None:
        """What slows the processor down; None where the system does not tell, which is not the same as nothing."""
        return None

    def memory_limit_bytes(self) -> int | None:
        """The memory that this process and its group may take, where that is less than the machine has."""
        return None

    def cpu_times(self) -> CpuTimes | None:
        """What all processors together did since boot."""
        return None

    def load_average(self) -> float | None:
        """How many processes were running or ready, on average over the last minute."""
        return None

    def describe(self) -> dict[str, Any]:
        """The facts that belong beside a measurement, flat; None for what is not shown."""
        system, throttling = os.uname(), self.throttling()
        return {
            "platform": self.name,
            "cpu_model": self.cpu_model(),
            "cores": self.cores(),
            "usable_cores": self.usable_cores(),
            "cpu_quota": self.cpu_quota(),
            "governor": self.governor() or None,
            "frequency_mhz": self.frequency_mhz(),
            "temperature_c": self.temperature_c(),
            "throttled": None if throttling is None else str(throttling),
            "memory_bytes": self.memory_bytes(),
            "memory_limit_bytes": self.memory_limit_bytes(),
            "machine": self.kernel_machine(),
            "bits": self.bits(),
            "system": f"{system.sysname} {system.release}",
            "python": sys.version.split()[0],
        }


def said(*command: str) -> str:
    """What a command printed, stripped; empty where it is not there, fails or hangs."""
    import subprocess

    try:
        done = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=_COMMAND_TIMEOUT_S, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()
