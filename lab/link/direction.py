"""What one direction of a link does: how much passes, how late, how much may wait, and what goes wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ondevice.errors import UsageError
from ondevice.lab.link.toxic import Toxic
from ondevice.lab.link.trace import PACKET_BYTES, Trace


@dataclass(frozen=True)
class Direction:
    """The settings of one direction of a link.

    capacity: a trace, bits per second, or None for no limit. latency_ms: one way, so half of a round trip where both
    directions have the same. jitter_ms: each packet's latency is off by up to so much, uniformly, but no packet
    overtakes another. buffer_bytes: what may wait for capacity; when it is full the sender is held back. toxics: see
    `Toxic`. Raises UsageError.
    """

    capacity: Trace | float | None = None
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    buffer_bytes: int = 256 << 10
    toxics: tuple[Toxic, ...] = ()

    def __post_init__(self) -> None:
        self.trace()
        if not 0 <= self.latency_ms < math.inf:
            raise UsageError(f"a link's latency one way is a number of ms from 0 up, not {self.latency_ms:g}")
        if not 0 <= self.jitter_ms <= self.latency_ms:
            raise UsageError(
                f"a link's jitter is from 0 ms to its latency one way, {self.latency_ms:g} ms, not {self.jitter_ms:g}"
            )
        if self.buffer_bytes < PACKET_BYTES:
            raise UsageError(f"a link's buffer is at least a packet, {PACKET_BYTES} bytes, not {self.buffer_bytes}")

    def trace(self) -> Trace | None:
        """The capacity as a trace."""
        return Trace.constant(self.capacity) if isinstance(self.capacity, float | int) else self.capacity
