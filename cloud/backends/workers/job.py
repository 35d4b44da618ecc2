"""What a worker is to do for a ticket, from the queue to the reply."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from time import perf_counter
from typing import NamedTuple

from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.process import Reply
from ondevice.errors import OnDeviceError


class PlannedRun(NamedTuple):
    """What a job will do when its turn comes: the model that it runs, and how long that is expected to take, ms."""

    model: str
    expected_ms: float


@dataclass(eq=False)
class WorkerJob:
    """What a worker is to do for a ticket.

    plan: asked again when its turn comes, once the ticket has its model; it may raise. learn: called with what a
    worker answered, whether anybody still waits for it or not. foreseen_ms: the wait to expect when it was queued.
    overtaken_ms: by how much that grew with what was put before it since. deaths: how many workers have died while they
    were at it.
    """

    message: Message
    ticket: Ticket
    planned: PlannedRun
    plan: Callable[[], PlannedRun]
    learn: Callable[[Reply | OnDeviceError], None] = lambda reply: None
    future: asyncio.Future[Reply] = field(default_factory=lambda: asyncio.get_running_loop().create_future())
    queued: float = field(default_factory=perf_counter)
    foreseen_ms: float = 0.0
    started: float = 0.0
    overtaken_ms: float = 0.0
    deaths: int = 0

    @property
    def due(self) -> float:
        """When the answer must be ready."""
        return self.ticket.due

    @property
    def latest(self) -> float:
        """The last moment at which it is worth beginning."""
        return self.ticket.latest

    @property
    def expected_ms(self) -> float:
        """How long it will keep a worker."""
        return self.planned.expected_ms

    @property
    def queue_ms(self) -> float:
        """How long it has waited for a worker."""
        return (self.started - self.queued) * 1e3

    def fail(self, error: OnDeviceError) -> None:
        """Tell who waits for it, if anyone does."""
        if not self.future.done():
            self.future.set_exception(error)

    def expire(self) -> None:
        """Tell who waits for it that it is too late."""
        if not self.future.done():
            self.future.set_exception(self.ticket.expired())
