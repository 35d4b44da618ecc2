"""One direction of a link: a bounded queue that its capacity serves, then the way's latency.

Everything is scheduled by absolute time: when a packet passes follows from when it came and from the trace, never from
when the event loop got round to it. A late wake-up delivers all that is due, and delays nothing that comes after.
"""

from __future__ import annotations

import asyncio
import enum
import math
import random
from collections import deque
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from ondevice.errors import UsageError
from ondevice.lab.link.toxic import Toxic
from ondevice.lab.link.trace import PACKET_BYTES, Cursor, Trace

READ_BYTES = 65_536
# What a packet that only opens or ends a connection takes of the capacity: its IP and TCP headers.
_MARK_BYTES = 40
# Waking takes about so long: what is due by then is delivered now.
_EARLY_MS = 0.1
# Packets that come closer together than this are delivered together, which bounds the CPU time that fast links take.
_REST_MS = 0.5
# A way without a limit of its own could hold any amount in its latency.
_MAX_FLIGHT_BYTES = 8 << 20
# A full queue is read into again when it is down to this share, so that readers do not stop and go at each packet.
_LOW_WATER = 0.75


class Mark(enum.Enum):
    """What passes through a channel beside data."""

    SYN = enum.auto()
    SYN_ACK = enum.auto()
    ACK = enum.auto()
    FIN = enum.auto()
    RST = enum.auto()


Item: TypeAlias = bytes | Mark


@dataclass(frozen=True)
class Way:
    """One direction's settings.

    capacity: a trace, bits per second, or None for no limit. latency_ms: one way, so half of a round trip where both
    ways have the same. jitter_ms: each packet's latency is off by up to so much, uniformly, but no packet overtakes
    another. buffer_bytes: what may wait for capacity; when it is full the sender is held back. toxics: see `Toxic`.
    Raises UsageError.
    """

    capacity: Trace | float | None = None
    latency_ms: float = 0.0
    jitter_ms: float = 0.0
    buffer_bytes: int = 256 << 10
    toxics: tuple[Toxic, ...] = ()

    def __post_init__(self) -> None:
        self.trace()
        if not 0 <= self.latency_ms < math.inf:
            raise UsageError(f"a link's latency is a number of ms from 0 up, not {self.latency_ms:g}")
        if not 0 <= self.jitter_ms <= self.latency_ms:
            raise UsageError(f"a link's jitter is from 0 ms to its latency one way, not {self.jitter_ms:g}")
        if self.buffer_bytes < PACKET_BYTES:
            raise UsageError(f"a link's buffer is at least a packet, {PACKET_BYTES} bytes, not {self.buffer_bytes}")

    def trace(self) -> Trace | None:
        """The capacity as a trace."""
        return Trace.constant(self.capacity) if isinstance(self.capacity, float | int) else self.capacity


class Receiver(Protocol):
    """One connection's share in a channel."""

    def deliver(self, items: list[Item]) -> None:
        """Take what has arrived, in its order."""

    def regulate(self) -> None:
        """Read on or stop, for the channel is no longer full, or is."""


class Channel:
    """Carries what the connections of a link send one way, first come first served. Belongs to the running loop."""

    def __init__(self, way: Way, seed: str) -> None:
        self.way = way
        self.full = False
        self.delivered_bytes = 0
        self.receivers: set[Receiver] = set()
        self.scratch = memoryview(bytearray(READ_BYTES))
        self._loop = asyncio.get_running_loop()
        self._zero_s = self._loop.time()
        self._random = random.Random(seed)
        self._cursor = self._start(way)
        self._timer: asyncio.TimerHandle | None = None
        self._turned_ms = -_REST_MS
        self._held = False
        self._since_ms = 0.0  # nothing that waits is served with capacity from before
        self._queue: deque[tuple[float, Receiver, Item]] = deque()  # with the time at which it came
        self._queued = 0
        self._departs_ms: float | None = None  # the head of the queue
        self._flight: deque[tuple[float, Receiver, Item]] = deque()  # with the time at which it arrives
        self._flying = 0
        self._last_ms = 0.0

    @property
    def room(self) -> memoryview:
        """Where to read into: as much as the queue has room for."""
        return self.scratch[: max(1, self.way.buffer_bytes - self._queued)]

    def send(self, receiver: Receiver, item: Item) -> None:
        """Queue what `receiver` is to get."""
        idle = not self._queue
        now = self._now_ms()
        grain = max(PACKET_BYTES, self._cursor.trace.opportunity_bytes) if self._cursor else READ_BYTES
        if isinstance(item, Mark):
            self._queue.append((now, receiver, item))
        else:
            self._queue.extend((now, receiver, item[i : i + grain]) for i in range(0, len(item), grain))
        self._queued += _size(item)
        if idle:
            self._turn()
        else:
            self._regulate()

    def change(self, way: Way) -> None:
        """Go on with other settings. Another capacity's trace begins now."""
        self._turn()
        same = way.capacity == self.way.capacity
        self.way = way
        if not same:
            self._cursor = self._start(way)
            self._departs_ms = None
            self._since_ms = self._now_ms()
        self._turn()

    def hold(self, held: bool) -> None:
        """Let nothing pass; or go on, with what was held back first."""
        self._turn()
        if self._held and not held:
            self._since_ms = self._now_ms()
            if self._departs_ms is not None and self._departs_ms < self._since_ms:
                self._departs_ms = None
        self._held = held
        self._turn()

    def clear(self) -> None:
        """Lose all that is under way."""
        self._queue.clear()
        self._flight.clear()
        self._queued = self._flying = 0
        self._departs_ms = None
        self._turn()

    def close(self) -> None:
        """Stop for good."""
        self.clear()
        if self._timer:
            self._timer.cancel()

    def _now_ms(self) -> float:
        return (self._loop.time() - self._zero_s) * 1e3

    def _start(self, way: Way) -> Cursor | None:
        trace = way.trace()
        return Cursor(trace, self._now_ms()) if trace else None

    def _turn(self) -> None:
        """Do all that is due, and set the alarm for what is next."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._held:
            self._turned_ms = self._now_ms()
            self._depart(self._turned_ms + _EARLY_MS)
            self._arrive(self._turned_ms + _EARLY_MS)
            self._set_alarm()
        self._regulate()

    def _depart(self, due_ms: float) -> None:
        while self._queue:
            came_ms, receiver, item = self._queue[0]
            if self._departs_ms is None:
                ready_ms = max(came_ms, self._since_ms)
                self._departs_ms = self._cursor.serve(ready_ms, _size(item)) if self._cursor else ready_ms
            if self._departs_ms > due_ms:
                break
            self._queue.popleft()
            self._queued -= _size(item)
            self._flying += _size(item)
            self._flight.append((self._arrival_ms(self._departs_ms), receiver, item))
            self._departs_ms = None

    def _arrival_ms(self, departs_ms: float) -> float:
        jitter = self._random.uniform(-self.way.jitter_ms, self.way.jitter_ms) if self.way.jitter_ms else 0.0
        self._last_ms = max(self._last_ms, departs_ms + self.way.latency_ms + jitter)
        return self._last_ms

    def _arrive(self, due_ms: float) -> None:
        arrived: dict[Receiver, list[Item]] = {}
        while self._flight and self._flight[0][0] <= due_ms:
            _, receiver, item = self._flight.popleft()
            self._flying -= _size(item)
            arrived.setdefault(receiver, []).append(item)
        for receiver, items in arrived.items():
            receiver.deliver(items)

    def _set_alarm(self) -> None:
        times = [self._flight[0][0]] if self._flight else []
        if self._departs_ms is not None:
            times.append(self._departs_ms)
        if times:
            at_ms = max(min(times) - _EARLY_MS, self._turned_ms + _REST_MS)
            self._timer = self._loop.call_at(self._zero_s + at_ms / 1e3, self._turn)

    def _regulate(self) -> None:
        share = _LOW_WATER if self.full else 1
        full = self._queued >= share * self.way.buffer_bytes or self._flying >= share * _MAX_FLIGHT_BYTES
        if full != self.full:
            self.full = full
            for receiver in list(self.receivers):
                receiver.regulate()


def _size(item: Item) -> int:
    return _MARK_BYTES if isinstance(item, Mark) else len(item)
