"""What is done with another server between requests, and what waits until nothing else goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import cast

from clock import Clock
from upstream_models import model, server

from ondevice.cloud.backends.upstream.decoder import PictureDecoder
from ondevice.cloud.backends.upstream.link import Exchange, UpstreamLink
from ondevice.cloud.backends.upstream.maintenance import Maintenance
from ondevice.cloud.backends.upstream.model import UpstreamModel
from ondevice.cloud.backends.upstream.oip_client import OipClient
from ondevice.cloud.backends.upstream.round_trips import AGAIN, RoundTrips
from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol.served import Work

CLOCK = Clock()
WRONG = UpstreamError("it answers 500", FailureKind.WRONG)


class Recorded(UpstreamLink):
    """A link that writes down what it is asked; nothing is sent."""

    def __init__(self) -> None:
        super().__init__(cast(OipClient, None), server(CLOCK))
        self.asked: list[str] = []

    async def check(self) -> None:
        self.asked.append("health")

    async def ask(self, model: UpstreamModel, work: Work) -> Exchange:
        self.asked.append(model.name)
        model.health.answered()
        return Exchange([], b"", 0.0, 5.0)


def during(use: Callable[[Maintenance, Recorded, UpstreamModel], Awaitable[None]]) -> None:
    """Use the maintenance of one model that has not run for long."""

    async def main() -> None:
        link = Recorded()
        known = model("m", ms=500.0, at=link.health)
        times = RoundTrips([known], CLOCK)
        await use(Maintenance(link, [known], times, PictureDecoder(None)), link, known)

    asyncio.run(main())


async def tick(maintenance: Maintenance) -> None:
    """Tick once, and let it be done."""
    maintenance.tick()
    for _ in range(10):
        await asyncio.sleep(0)


def test_a_model_that_has_not_run_for_long_is_timed_when_nothing_else_goes_on() -> None:
    async def use(maintenance: Maintenance, link: Recorded, known: UpstreamModel) -> None:
        with link.turns:
            await tick(maintenance)
            assert link.asked == ["health"]
            await tick(maintenance)
            assert link.asked == ["health"], "a request is on its way"
        await tick(maintenance)
        assert link.asked == ["health"] + AGAIN * ["m"]
        assert known.learned.invoke.distribution.mean_ms < 200
        await tick(maintenance)
        assert link.asked == ["health"] + AGAIN * ["m"], "it has just been timed"

    during(use)


def test_what_failed_is_tried_when_it_is_due_unless_the_server_is_away() -> None:
    async def use(maintenance: Maintenance, link: Recorded, known: UpstreamModel) -> None:
        for _ in range(3):
            known.health.failed(WRONG)
        link.health.not_ready(UpstreamError("no connection", FailureKind.REFUSED))
        await tick(maintenance)
        assert link.asked == []
        CLOCK.pass_ms(500)
        await tick(maintenance)
        assert link.asked == ["health"]
        link.health.ready()
        await tick(maintenance)
        assert link.asked == ["health", "m"]
        assert known.health.available

    during(use)


def test_its_end_ends_what_is_under_way() -> None:
    async def use(maintenance: Maintenance, link: Recorded, known: UpstreamModel) -> None:
        ended = asyncio.Event()

        async def for_ever() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.set()

        link.check = for_ever  # type: ignore[method-assign]
        await tick(maintenance)
        maintenance.close()
        assert await asyncio.wait_for(ended.wait(), 10)

    during(use)
