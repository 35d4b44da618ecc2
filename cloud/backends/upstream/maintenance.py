"""What is done with another server between requests."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any

from ondevice.cloud.backends.upstream.decoder import PictureDecoder
from ondevice.cloud.backends.upstream.link import UpstreamLink
from ondevice.cloud.backends.upstream.model import UpstreamModel
from ondevice.cloud.backends.upstream.round_trips import AGAIN, RoundTrips
from ondevice.errors import OnDeviceError


class Maintenance:
    """Asks after the server's health, tries again what failed, and times again what was not used for long."""

    def __init__(
        self, link: UpstreamLink, models: Sequence[UpstreamModel], times: RoundTrips, decoder: PictureDecoder
    ) -> None:
        self._link, self._models, self._times, self._decoder = link, models, times, decoder
        self._tasks: set[asyncio.Task[None]] = set()

    def tick(self) -> None:
        """Begin what is due; call it a few times a second."""
        if self._link.health.check_due():
            self._begin(self._link.check())
        if not self._link.health.well:
            return
        for model in self._models:
            if model.health.retry_due():
                self._begin(self._link.retry(model))
        # Timed is only while nothing else goes on.
        if not self._tasks and not self._link.turns.requests and (stale := self._times.take_stale()):
            self._begin(self._time_again(stale))

    def close(self) -> None:
        """End what is under way."""
        for task in self._tasks:
            task.cancel()

    async def _time_again(self, model: UpstreamModel) -> None:
        with contextlib.suppress(OnDeviceError):
            times_ms = [(await self._link.ask(model, model.sample)).round_trip_ms for _ in range(AGAIN)]
            self._times.renew(model, times_ms)
            if model.remote.feed:
                await self._decoder.sample(model.remote, model.learned.decode)

    def _begin(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
