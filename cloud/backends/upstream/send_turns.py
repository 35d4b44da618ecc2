"""Turns to be sent to another server: so many inferences at once, however many requests there are."""

from __future__ import annotations

import asyncio
import math
from time import perf_counter

from ondevice.cloud.backends.ticket import Ticket

# Inferences at once; further ones wait, not yet against their time limit: more would not help a server that is slow.
MAX_INFERENCES = 64


class SendTurns:
    """requests: how many there are; each enters with `with` when it arrives. turn: taken while it is sent."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(MAX_INFERENCES)
        self.requests = 0

    def __enter__(self) -> None:
        self.requests += 1

    def __exit__(self, *error: object) -> None:
        self.requests -= 1

    async def take(self, ticket: Ticket | None) -> None:
        """Wait for a turn, to be given back by `turn.release`. Raises RefusedError where it comes after the time of its
        ticket; None: of a request of our own, which has time.
        """
        if ticket is None or math.isinf(ticket.expires) or not self.turn.locked():
            await self.turn.acquire()
            return
        try:
            async with asyncio.timeout(max(ticket.expires - perf_counter(), 0.0)):
                await self.turn.acquire()
        except TimeoutError:
            raise ticket.expired() from None

    @property
    def taken(self) -> bool:
        """Whether one more would have to wait."""
        return self.requests >= MAX_INFERENCES

    def wait_ms(self, usual_ms: float) -> float:
        """How long one more would wait, where each frees its turn after about the usual time."""
        before = max(self.requests - MAX_INFERENCES + 1, 0)
        return before / MAX_INFERENCES * usual_ms
