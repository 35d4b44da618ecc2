"""The packets of one direction as a schedule: a bounded queue that the capacity serves, then the latency.

Everything is scheduled by absolute time: when a packet passes follows from when it came and from the trace, never from
when anyone looked. No clock is read here: every method is told the time, in ms since the channel was made.
"""

from __future__ import annotations

import enum
import random
from collections import deque
from typing import Generic, TypeAlias, TypeVar

from ondevice.lab.link.direction import Direction
from ondevice.lab.link.trace import PACKET_BYTES, Cursor

# What is read from a socket, and passes a direction without a limit, at a time: as much as loopback's largest segments,
# so that fast links take few turns of the event loop, and little beside the default buffer of 256 KiB.
READ_BYTES = 65_536
# What a packet that only opens or ends a connection takes of the capacity: its IP and TCP headers.
_HEADER_BYTES = 40


class TcpFlag(enum.Enum):
    """A packet without data, which opens or ends a connection."""

    SYN = enum.auto()
    SYN_ACK = enum.auto()
    ACK = enum.auto()
    FIN = enum.auto()
    RST = enum.auto()


Packet: TypeAlias = bytes | TcpFlag
Owner = TypeVar("Owner")


class LinkQueue(Generic[Owner]):
    """What is under way in one direction, and for whom.

    waiting_bytes: for capacity. in_flight_bytes: in the latency behind it.
    """

    def __init__(self, direction: Direction, seed: str) -> None:
        self.direction = direction
        self.waiting_bytes = self.in_flight_bytes = 0
        self._random = random.Random(seed)
        self._cursor = _cursor(direction, 0.0)
        self._served_from_ms = 0.0  # nothing that waits is served with capacity from before
        self._waiting: deque[tuple[float, Owner, Packet]] = deque()  # with the time at which it came
        self._departs_ms: float | None = None  # the head of those that wait
        self._in_flight: deque[tuple[float, Owner, Packet]] = deque()  # with the time at which it arrives
        self._last_arrival_ms = 0.0

    def add(self, now_ms: float, owner: Owner, packet: Packet) -> None:
        """Queue what `owner` is to get, data in pieces that the capacity serves as one each."""
        if isinstance(packet, TcpFlag):
            self._waiting.append((now_ms, owner, packet))
        else:
            piece = max(PACKET_BYTES, self._cursor.trace.opportunity_bytes) if self._cursor else READ_BYTES
            self._waiting.extend((now_ms, owner, packet[i : i + piece]) for i in range(0, len(packet), piece))
        self.waiting_bytes += _size(packet)

    def change(self, now_ms: float, direction: Direction) -> None:
        """Go on with other settings. Another capacity's trace begins now."""
        same = direction.capacity == self.direction.capacity
        self.direction = direction
        if not same:
            self._cursor = _cursor(direction, now_ms)
            self._departs_ms = None
            self._served_from_ms = now_ms

    def resume(self, now_ms: float) -> None:
        """Go on after a time in which nothing passed: its capacity is lost."""
        self._served_from_ms = now_ms
        if self._departs_ms is not None and self._departs_ms < now_ms:
            self._departs_ms = None

    def clear(self) -> None:
        """Lose all that is under way."""
        self._waiting.clear()
        self._in_flight.clear()
        self.waiting_bytes = self.in_flight_bytes = 0
        self._departs_ms = None

    def advance(self, now_ms: float) -> dict[Owner, list[Packet]]:
        """What has arrived by now and was not given before, by owner and in its order."""
        self._depart(now_ms)
        arrived: dict[Owner, list[Packet]] = {}
        while self._in_flight and self._in_flight[0][0] <= now_ms:
            _, owner, packet = self._in_flight.popleft()
            self.in_flight_bytes -= _size(packet)
            arrived.setdefault(owner, []).append(packet)
        return arrived

    def next_ms(self) -> float | None:
        """When something is next due, as of the last `advance`; None: nothing is under way."""
        times = [self._in_flight[0][0]] if self._in_flight else []
        if self._departs_ms is not None:
            times.append(self._departs_ms)
        return min(times, default=None)

    def _depart(self, now_ms: float) -> None:
        while self._waiting:
            came_ms, owner, packet = self._waiting[0]
            if self._departs_ms is None:
                ready_ms = max(came_ms, self._served_from_ms)
                self._departs_ms = self._cursor.serve(ready_ms, _size(packet)) if self._cursor else ready_ms
            if self._departs_ms > now_ms:
                break
            self._waiting.popleft()
            self.waiting_bytes -= _size(packet)
            self.in_flight_bytes += _size(packet)
            self._in_flight.append((self._arrival_ms(self._departs_ms), owner, packet))
            self._departs_ms = None

    def _arrival_ms(self, departs_ms: float) -> float:
        most_ms = self.direction.jitter_ms
        jitter_ms = self._random.uniform(-most_ms, most_ms) if most_ms else 0.0
        self._last_arrival_ms = max(self._last_arrival_ms, departs_ms + self.direction.latency_ms + jitter_ms)
        return self._last_arrival_ms


def _cursor(direction: Direction, start_ms: float) -> Cursor | None:
    trace = direction.trace()
    return Cursor(trace, start_ms) if trace else None


def _size(packet: Packet) -> int:
    return _HEADER_BYTES if isinstance(packet, TcpFlag) else len(packet)
