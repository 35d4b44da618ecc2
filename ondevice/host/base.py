"""What every platform is asked. A platform that does not show something answers None, or an empty string."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, NamedTuple

from ondevice.host.memory import Memory
from ondevice.host.sensors import Sensors
from ondevice.host.system import usable_cores


class CpuTimes(NamedTuple):
    """Seconds of all processors together since boot, from which two readings make a share.

    busy_s: working for this system. total_s: working, idle and stolen. steal_s: taken by the hypervisor for others.
    """

    busy_s: float
    total_s: float
    steal_s: float


class Host(ABC):
    """A machine: its processor, its memory, its sensors, and the limits that it is under at this moment."""

    name: ClassVar[str]

    @abstractmethod
    def is_here(self) -> bool:
        """Whether this process runs on such a machine."""

    @property
    @abstractmethod
    def memory(self) -> Memory:
        """The machine's memory and this process's."""

    @property
    def sensors(self) -> Sensors:
        """The processor's clock and heat."""
        return Sensors()

    @abstractmethod
    def cpu_model(self) -> str:
        """The processor's name, or the board's or the phone's where that says more."""

    @abstractmethod
    def cpu_features(self) -> list[str]:
        """The vector instructions that CNN kernels use, of those that the system names, by Linux's names."""

    def takes_wheels(self) -> bool:
        """Whether the binary packages that are built for all systems of this kind load here."""
        return True

    def cpu_quota(self) -> float | None:
        """The CPUs' worth of time that this process is granted; None without a quota."""
        return None

    def cpu_budget(self) -> int:
        """The threads that can run at the same time under affinity and quota, at least 1."""
        quota, usable = self.cpu_quota(), usable_cores()
        return usable if quota is None else max(1, min(usable, int(quota)))

    def cpu_times(self) -> CpuTimes | None:
        """What all processors together did since boot."""
        return None

    def load_average(self) -> float | None:
        """How many processes were running or ready, on average over the last minute."""
        return None
