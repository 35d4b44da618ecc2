"""Streams of frames asked of both clients: the newest alone, and what one frame costs is that frame."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Iterator

import pytest
from mjpeg import picture, sending
from rude import Rude

from ondevice import AsyncOffloadClient, OffloadClient, Runner
from ondevice.client.options import Options
from ondevice.errors import ImageError, OffloadError, UsageError
from ondevice.frames.frame import FrameAnswer
from ondevice.frames.latest import LatestFrames
from ondevice.frames.web import WebCamera

LONG_MS = 20_000.0
SHOTS = [picture(number) for number in range(4)]


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner("digits_xs_int8")


@pytest.fixture
def client(runner: Runner) -> Iterator[OffloadClient]:
    with OffloadClient(None, runner, LONG_MS, "device") as client:
        yield client


def one_by_one(given: list[FrameAnswer], shots: list[bytes]) -> Iterator[bytes]:
    """Each once the one before it is answered."""
    for number, shot in enumerate(shots):
        while len(given) < number:
            time.sleep(0.001)
        yield shot


def test_each_frame_that_there_is_time_for(client: OffloadClient, runner: Runner) -> None:
    given: list[FrameAnswer] = []
    for answer in client.stream(one_by_one(given, SHOTS)):
        given.append(answer)
    assert [answer.frame.number for answer in given] == [1, 2, 3, 4]
    assert [answer.get().index for answer in given] == [runner.classify(shot).index for shot in SHOTS]
    assert all(answer.ok and answer.age_ms >= answer.get().total_ms for answer in given)
    assert sorted(answer.frame.time for answer in given) == [answer.frame.time for answer in given]
    assert client.totals.requests == 4


def test_what_comes_while_one_is_asked_about_is_dropped_but_for_the_last(runner: Runner) -> None:
    """A camera that takes five pictures during each inference."""
    shots = iter(range(1, 1000))

    def frames() -> Iterator[bytes]:
        for number in shots:
            yield SHOTS[number % 4]
            while latest.came >= 5 * (client.totals.requests + 1):  # until the next answer is there
                time.sleep(0.001)
            if client.totals.requests >= 20:
                return

    with OffloadClient(None, runner, LONG_MS, "device") as client:
        latest = LatestFrames(frames())
        given = list(client.stream(latest))
    numbers = [answer.frame.number for answer in given]
    # One inference and one frame: of five frames an inference, none is more than ten frames behind the last answered.
    assert all(later - earlier <= 10 for earlier, later in itertools.pairwise(numbers))
    assert numbers[-1] == latest.came
    assert sum(answer.frame.dropped for answer in given) == latest.dropped == latest.came - len(given) > 0


def test_a_frame_that_cannot_be_read_costs_itself_alone(client: OffloadClient) -> None:
    given: list[FrameAnswer] = []
    for answer in client.stream(one_by_one(given, [SHOTS[0], b"no picture", SHOTS[1]])):
        given.append(answer)
    assert [answer.ok for answer in given] == [True, False, True]
    with pytest.raises(ImageError):
        given[1].get()


def test_without_an_answer_the_stream_goes_on() -> None:
    given: list[FrameAnswer] = []
    with OffloadClient("http://127.0.0.1:9", sla_ms=50, mode="cloud", options=Options(patience_ms=0)) as client:
        for answer in client.stream(one_by_one(given, SHOTS[:2])):
            given.append(answer)
    assert [type(answer.result) for answer in given] == [OffloadError, OffloadError]


def test_what_every_frame_would_end_in_ends_the_stream(client: OffloadClient) -> None:
    with pytest.raises(UsageError, match="the deadline must be over 0 ms"):
        next(client.stream(SHOTS, sla_ms=-1))
    stream = client.stream(one_by_one([], [SHOTS[0]]))
    client.close()
    with pytest.raises(OffloadError, match="the client is closed"):
        next(stream)


def test_a_camera_by_its_address(client: OffloadClient) -> None:
    with Rude(sending(SHOTS, hold=True)) as server:
        stream = client.stream(server.url)
        assert next(stream).ok
        stream.close()
    camera = WebCamera(server.url)
    assert camera.name == server.url


# On an event loop


async def answered(client: AsyncOffloadClient, frames: object) -> list[FrameAnswer]:
    async with client:
        return [answer async for answer in client.stream(frames)]  # type: ignore[arg-type]


def test_on_a_loop_from_a_thread(runner: Runner) -> None:
    given = asyncio.run(answered(AsyncOffloadClient(None, runner, LONG_MS, "device"), SHOTS))
    assert given[-1].frame.number == 4
    assert given[-1].get().index == runner.classify(SHOTS[3]).index


def test_on_a_loop_from_tasks(runner: Runner) -> None:
    client = AsyncOffloadClient(None, runner, LONG_MS, "device")

    async def frames() -> AsyncIterator[bytes]:
        for number, shot in enumerate([SHOTS[0], b"no picture", SHOTS[1]]):
            while client.totals.requests < number:
                await asyncio.sleep(0)
            yield shot

    given = asyncio.run(answered(client, frames()))
    assert [answer.ok for answer in given] == [True, False, True]


def test_on_a_loop_what_every_frame_would_end_in_ends_the_stream(runner: Runner) -> None:
    async def closed() -> None:
        client = AsyncOffloadClient(None, runner, LONG_MS, "device")
        await client.close()
        async for _ in client.stream(SHOTS):
            pass

    with pytest.raises(OffloadError, match="the client is closed"):
        asyncio.run(closed())
