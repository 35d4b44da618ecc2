"""What the operator of an endpoint sets."""

from __future__ import annotations

from dataclasses import dataclass

from ondevice.cloud.select.parameters import SHORTEST_MS
from ondevice.errors import UsageError
from ondevice.selection import policies
from ondevice.timing.bounds import LONGEST_MS


@dataclass(frozen=True)
class Rules:
    """What the operator set. policy: as `policies.find` takes it. sla_ms: for requests that name none.

    refuse: whether work that cannot be done in time is refused when others wait, or done all the same.
    admit: the least chance to be on time with which work is accepted then; keep: the least with which it is begun.
    anytime: how many models may answer one request that asks for it. Raises UsageError for what cannot be obeyed.
    """

    policy: str = "effective"
    sla_ms: float = 1000.0
    refuse: bool = True
    admit: float = 0.99
    keep: float = 0.8
    anytime: int = 2

    def __post_init__(self) -> None:
        policies.find(self.policy)
        if not SHORTEST_MS <= self.sla_ms <= LONGEST_MS:
            raise UsageError(f"the deadline must be from {SHORTEST_MS:g} to {LONGEST_MS:g} ms, not {self.sla_ms:g}")
