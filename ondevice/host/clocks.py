"""Who keeps the processors busy: this process, or other programs."""

from __future__ import annotations

import time
from typing import NamedTuple

from ondevice.host.base import Host

# Of the machine's processors: other programs that keep more of them busy show in what is measured meanwhile; some
# that keep less are always there.
MAX_OTHERS = 0.10


class Share(NamedTuple):
    """Processors kept busy, on average: by this process, and by all others (None where the system does not show it)."""

    own: float
    others: float | None


class Clocks(NamedTuple):
    """Wall seconds, this process's CPU seconds, and the whole machine's busy and stolen CPU seconds."""

    wall: float
    own: float
    machine: float | None

    @classmethod
    def now(cls, machine: Host) -> Clocks:
        """Read them all."""
        times = machine.cpu_times()
        busy = None if times is None else times.busy_s + times.steal_s
        return cls(time.perf_counter(), time.process_time(), busy)

    def since(self, start: Clocks) -> Share:
        """The share of the time since `start`."""
        wall = max(self.wall - start.wall, 1e-9)
        own = self.own - start.own
        if self.machine is None or start.machine is None:
            return Share(own / wall, None)
        return Share(own / wall, max(0.0, self.machine - start.machine - own) / wall)
