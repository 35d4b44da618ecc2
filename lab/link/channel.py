"""One direction of a link in its event loop: it delivers what its queue lets pass, and holds senders back.

A late wake-up delivers all that is due, and delays nothing that comes after: the queue schedules by absolute time.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from ondevice.lab.link.direction import Direction
from ondevice.lab.link.queue import READ_BYTES, LinkQueue, Packet

# Waking takes about so long: what is due by then is delivered now.
_EARLY_MS = 0.1
# Packets that come closer together than this are delivered together, which bounds the CPU time that fast links take.
_REST_MS = 0.5
# A direction without a limit of its own could hold any amount in its latency.
_MAX_IN_FLIGHT_BYTES = 8 << 20
# A full queue is read into again when it is down to this share, so that readers do not stop and go at each packet.
_LOW_WATER = 0.75


class Receiver(Protocol):
    """One connection's share in a channel."""

    def deliver(self, packets: list[Packet]) -> None:
        """Take what has arrived, in its order."""

    def regulate(self) -> None:
        """Read on or stop, for the channel is no longer full, or is."""


class LinkChannel:
    """Carries what the connections of a link send one way, first come first served. Belongs to the running loop."""

    def __init__(self, direction: Direction, seed: str) -> None:
        self.direction = direction
        self.full = False
        self.delivered_bytes = 0
        self.receivers: set[Receiver] = set()
        self.scratch = memoryview(bytearray(READ_BYTES))
        self._queue: LinkQueue[Receiver] = LinkQueue(direction, seed)
        self._loop = asyncio.get_running_loop()
        self._zero_s = self._loop.time()
        self._timer: asyncio.TimerHandle | None = None
        self._paused = False

    @property
    def read_buffer(self) -> memoryview:
        """Where to read into: as much as the queue has room for."""
        return self.scratch[: max(1, self.direction.buffer_bytes - self._queue.waiting_bytes)]

    def send(self, receiver: Receiver, packet: Packet) -> None:
        """Queue what `receiver` is to get."""
        was_idle = not self._queue.waiting_bytes
        self._queue.add(self._now_ms(), receiver, packet)
        if was_idle:
            self._advance()
        else:
            self._regulate()

    def change(self, direction: Direction) -> None:
        """Go on with other settings. Another capacity's trace begins now."""
        self._advance()
        self.direction = direction
        self._queue.change(self._now_ms(), direction)
        self._advance()

    def set_paused(self, paused: bool) -> None:
        """Let nothing pass; or go on, with what was held back first."""
        self._advance()
        if self._paused and not paused:
            self._queue.resume(self._now_ms())
        self._paused = paused
        self._advance()

    def clear(self) -> None:
        """Lose all that is under way."""
        self._queue.clear()
        self._advance()

    def close(self) -> None:
        """Stop for good."""
        self.clear()
        if self._timer:
            self._timer.cancel()

    def _now_ms(self) -> float:
        return (self._loop.time() - self._zero_s) * 1e3

    def _advance(self) -> None:
        """Deliver all that is due, and set the alarm for what is next."""
        now_ms = self._now_ms()
        if not self._paused:
            for receiver, packets in self._queue.advance(now_ms + _EARLY_MS).items():
                receiver.deliver(packets)
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if not self._paused and (due_ms := self._queue.next_ms()) is not None:
            at_ms = max(due_ms - _EARLY_MS, now_ms + _REST_MS)
            self._timer = self._loop.call_at(self._zero_s + at_ms / 1e3, self._advance)
        self._regulate()

    def _regulate(self) -> None:
        share = _LOW_WATER if self.full else 1
        waiting, in_flight = self._queue.waiting_bytes, self._queue.in_flight_bytes
        full = waiting >= share * self.direction.buffer_bytes or in_flight >= share * _MAX_IN_FLIGHT_BYTES
        if full != self.full:
            self.full = full
            for receiver in list(self.receivers):
                receiver.regulate()
