"""The client on an event loop: it answers as the other does, and is given up with who waits for it."""

from __future__ import annotations

import asyncio
import gc
import threading

import pytest
from good_endpoint import endpoint
from rude import Rude, answering, stalling
from serving import until

from ondevice import Answer, AsyncOffloadClient, Runner
from ondevice.errors import ImageError, OffloadError, UsageError
from ondevice.models import zoo

SMALL = "digits_xs_int8"
PATHS = sorted(zoo.samples_dir().glob("*/*.png"))
NOWHERE = "http://127.0.0.1:9"
LONG_MS = 20_000.0


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(SMALL)


async def answered(client: AsyncOffloadClient, count: int = 5) -> list[tuple[str, int]]:
    async with client:
        answers = await asyncio.gather(*(client.classify(path) for path in PATHS[:count]))
    return [(answer.where, answer.index) for answer in answers]


def test_the_device_alone(runner: Runner) -> None:
    found = asyncio.run(answered(AsyncOffloadClient(None, runner, LONG_MS, "device")))
    assert found == [("device", runner.classify(path).index) for path in PATHS[:5]]


def test_an_endpoint() -> None:
    with Rude(answering(endpoint)) as server:
        client = AsyncOffloadClient(server.url, (), LONG_MS)
        assert asyncio.run(answered(client)) == [("cloud", 7)] * 5
    assert client.totals.requests == client.totals.cloud == 5


def test_from_several_loops(runner: Runner) -> None:
    client = AsyncOffloadClient(None, runner, LONG_MS, "device")

    async def ask() -> str:
        return (await client.classify(PATHS[0])).where

    assert {asyncio.run(ask()) for _ in range(3)} == {"device"}
    asyncio.run(client.close())


def test_it_waits_for_the_endpoint() -> None:
    async def ready(url: str) -> bool:
        async with AsyncOffloadClient(url) as client:
            return await client.ready(10)

    with Rude(answering(endpoint)) as server:
        assert asyncio.run(ready(server.url))
    assert not asyncio.run(ready(NOWHERE))


def test_errors(runner: Runner) -> None:
    async def classify(client: AsyncOffloadClient, source: object) -> None:
        async with client:
            await client.classify(source)  # type: ignore[arg-type]

    with pytest.raises(ImageError, match="no such file"):
        asyncio.run(classify(AsyncOffloadClient(NOWHERE, runner, LONG_MS, "hedge"), "no such file"))
    with pytest.raises(OffloadError, match="refuses connections"):
        asyncio.run(classify(AsyncOffloadClient(NOWHERE), PATHS[0]))
    with pytest.raises(UsageError, match="over 0 ms"):
        AsyncOffloadClient(NOWHERE, sla_ms=0)


def test_what_is_cancelled_ends_here_and_there() -> None:
    async def give_up(client: AsyncOffloadClient, server: Rude) -> None:
        task = asyncio.create_task(client.classify(PATHS[0]))
        await asyncio.to_thread(until, lambda: server.asked)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        gone = [visit.gone for visit in server.visits]
        await asyncio.to_thread(until, lambda: any(one.is_set() for one in gone))
        await client.close()

    with Rude(stalling(endpoint, 10), told=endpoint) as server:
        client = AsyncOffloadClient(server.url, (), LONG_MS)
        asyncio.run(give_up(client, server))
    assert (client.totals.requests, client.totals.on_time) == (1, 0)


def test_closing_ends_what_is_under_way() -> None:
    async def close_early(client: AsyncOffloadClient, server: Rude) -> None:
        task = asyncio.create_task(client.classify(PATHS[0]))
        await asyncio.to_thread(until, lambda: server.asked)
        await client.close()
        with pytest.raises(OffloadError, match="the client is closed"):
            await task
        with pytest.raises(OffloadError, match="the client is closed"):
            await client.classify(PATHS[0])

    with Rude(stalling(endpoint, 10), told=endpoint) as server:
        asyncio.run(close_early(AsyncOffloadClient(server.url, (), LONG_MS), server))


def test_a_loop_that_is_busy_makes_answers_late_and_honestly_so(runner: Runner) -> None:
    async def busy() -> bool | None:
        async with AsyncOffloadClient(None, runner, 50.0, "device") as client:
            task = asyncio.create_task(client.classify(PATHS[0]))
            await asyncio.sleep(0)
            threading.Event().wait(0.2)  # somebody blocks the loop
            return (await task).on_time

    assert asyncio.run(busy()) is False


@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_is_closed_under_a_request() -> None:
    async def begin(client: AsyncOffloadClient, server: Rude) -> asyncio.Task[Answer]:
        task = asyncio.create_task(client.classify(PATHS[0]))
        await asyncio.to_thread(until, lambda: server.asked)
        return task

    with Rude(stalling(endpoint, 10), told=endpoint) as server:
        client, loop = AsyncOffloadClient(server.url, (), LONG_MS), asyncio.new_event_loop()
        task = loop.run_until_complete(begin(client, server))
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
        task._log_destroy_pending = False  # type: ignore[attr-defined]
        asyncio.run(client.close())
        del task
        gc.collect()
    assert client.totals.on_time == 0
