"""The backend in worker processes, on a loop of its own, and what it is asked."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

from events import Events
from serving import FAMILY, PICTURE

from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.backends.local.local import Local
from ondevice.cloud.backends.ticket import Ticket, TurnTimes
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.supervisor import Workers
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import Work

SMALL, _, MIDDLE, LARGE = FAMILY


def with_local(
    body: Callable[[Local, Events], Awaitable[None]],
    *models: str,
    budget: int | None = None,
    workers: int = 1,
    profiles: Path | None = None,
) -> None:
    async def whole() -> None:
        events = Events()
        pool = Pool(Workers(workers), events)
        local = Local(models or FAMILY, pool, budget, profiles, events)
        try:
            await pool.start()
            await local.start()
            await asyncio.wait_for(body(local, events), 60)
        finally:
            local.close()
            pool.close()
            await asyncio.sleep(0)

    asyncio.run(whole())


class Undecided(Ticket):
    """One that comes to like the smallest model best."""

    def reconsider(self, turn: TurnTimes) -> None:
        self.model = SMALL


def picture(payload: bytes = PICTURE) -> Work:
    return Work(payload, True, 3, False, perf_counter(), PictureHead.read(payload))


async def run(local: Local, model: str, work: Work | None = None) -> InferenceResult:
    return await local.run(Ticket(model, work or picture()))


async def ticked(local: Local, condition: Callable[[], Any]) -> None:
    """Let the backend do what it does between requests until the condition holds."""
    while not condition():
        local.tick()
        await asyncio.sleep(0.02)
