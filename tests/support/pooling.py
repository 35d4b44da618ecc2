"""A pool of real workers on a loop of its own, and jobs for it."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any

from events import Events

from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.workers.job import PlannedRun, WorkerJob
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.process import Reply
from ondevice.cloud.backends.workers.supervisor import Workers
from ondevice.models import zoo
from ondevice.protocol.served import Work

MODEL, OTHER = "digits_m_int8", "digits_xs_int8"
PICTURE = next(iter(sorted(zoo.samples_dir().glob("7/*.png")))).read_bytes()


def job(
    model: str = MODEL, payload: bytes = PICTURE, expected_ms: float = 1.0, due: float = math.inf, **message: Any
) -> WorkerJob:
    message = {"op": "image", "cropped": 1.0, "top": 3, "raw": False, **message}
    plan = PlannedRun(model, expected_ms)
    ticket = Ticket(model, Work(payload, True, 3, False, perf_counter()), due)
    return WorkerJob(message, ticket, plan, lambda: plan)


def with_pool(body: Callable[[Pool, Events], Awaitable[None]], count: int = 1) -> None:
    async def whole() -> None:
        events = Events()
        pool = Pool(Workers(count), events)
        await pool.start()
        try:
            await asyncio.wait_for(body(pool, events), 60)
        finally:
            pool.close()
            await asyncio.sleep(0)

    asyncio.run(whole())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.01)


async def answer(pool: Pool, work: WorkerJob) -> Reply:
    pool.submit(work)
    return await work.future
