"""What a platform is asked of memory: the machine's and this process's."""

from __future__ import annotations

from abc import ABC, abstractmethod

from ondevice.host.system import memory_bytes


class Memory(ABC):
    """The machine's memory, and this process's share of it, in bytes."""

    def total_bytes(self) -> int:
        """The machine's memory."""
        return memory_bytes()

    def limit_bytes(self) -> int | None:
        """What this process and its group may take, where that is less than the machine has; else None."""
        return None

    @abstractmethod
    def peak_bytes(self) -> int:
        """The most that was resident for this process at any time."""

    @abstractmethod
    def resident_bytes(self) -> int | None:
        """What is resident for this process now; None where the system does not show it."""

    def give_back(self) -> bool:
        """Return freed memory to the system, where a library keeps it for itself; whether any came back."""
        return False
