"""When the cloud is tried though nothing is expected of it, so that a better network is noticed."""

from __future__ import annotations

from ondevice.client.planning.plan import Plan

# After so long, and twice as long each time, at most so long: mobile links recover within seconds, and each try costs
# an upload.
_FIRST_S, _LONGEST_S = 1.0, 8.0


class Exploration:
    """Times are seconds of any monotonic clock."""

    def __init__(self) -> None:
        self._at, self._pause_s = 0.0, _FIRST_S

    def due(self, now: float) -> bool:
        """Whether it is time for another try."""
        return now >= self._at

    def planned(self, plan: Plan, now: float) -> None:
        """Set when the next try is due. What is sent because it promises something shows the network anyway."""
        if plan.explore:
            self._at = now + self._pause_s
            self._pause_s = min(2 * self._pause_s, _LONGEST_S)
        elif plan.send:
            self._pause_s = _FIRST_S
