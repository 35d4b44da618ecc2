"""The newest frame, and the newest alone: what is passed over is counted, and its memory is free."""

from __future__ import annotations

import asyncio
import threading
import time
import tracemalloc
from collections.abc import AsyncIterator, Iterator

import pytest
from mjpeg import picture

from ondevice.errors import ImageError, UsageError
from ondevice.frames.latest import LatestFrames
from ondevice.frames.mailbox import Mailbox


def played(camera_ms: int, inference_ms: int, seconds: int) -> list[tuple[int, int]]:
    """Of a camera and a phone of that speed, on a clock of their own: for each answered frame, when it came and when
    its answer was there, ms.
    """
    mailbox, answered, free_ms = Mailbox(lambda: None), [], 0
    frames = range(0, seconds * 1000, camera_ms)
    for came_ms in frames:
        # The phone is free between two frames: it takes what is there.
        while free_ms <= came_ms and (frame := mailbox.take()):
            free_ms += inference_ms
            answered.append(((frame.number - 1) * camera_ms, free_ms))
        mailbox.put(b"")
        if free_ms <= came_ms:
            free_ms = came_ms
    assert mailbox.came == len(frames)
    assert mailbox.came - mailbox.dropped - len(answered) <= 1
    return answered


@pytest.mark.parametrize(("camera_ms", "inference_ms"), [(33, 100), (33, 34), (10, 100), (100, 33), (7, 1000)])
def test_an_answered_frame_is_one_inference_and_one_frame_old_at_most(camera_ms: int, inference_ms: int) -> None:
    ages = [answered - came for came, answered in played(camera_ms, inference_ms, 60)]
    assert len(ages) >= 59_000 // max(camera_ms, inference_ms)
    assert max(ages) <= inference_ms + camera_ms


class SteppedCamera:
    """Gives frames when it is let to: `shoot` waits until the last has been left."""

    def __init__(self, count: int) -> None:
        self._shots = threading.Semaphore(0)
        self._left = threading.Semaphore(0)
        self._count = count
        self.closed = threading.Event()

    def __iter__(self) -> Iterator[bytes]:
        try:
            for number in range(self._count):
                assert self._shots.acquire(timeout=30)
                yield b"%d" % (number + 1)
                self._left.release()  # asked for the next: the last one is in the mailbox
        finally:
            self.closed.set()

    def shoot(self, frames: int) -> None:
        for _ in range(frames):
            self._shots.release()
            assert self._left.acquire(timeout=30)


def test_while_one_is_worked_on_all_but_the_newest_are_dropped() -> None:
    camera = SteppedCamera(100)
    latest = LatestFrames(camera)
    threading.Thread(target=camera.shoot, args=(1,)).start()
    taken = []
    for frame in latest:
        taken.append((frame.number, frame.source, frame.dropped))
        if len(taken) == 10:
            break
        camera.shoot(3 if len(taken) % 2 else 1)
    assert taken[:4] == [(1, b"1", 0), (4, b"4", 2), (5, b"5", 0), (8, b"8", 2)]
    assert latest.dropped == sum(dropped for _, _, dropped in taken) == latest.came - len(taken)
    camera._shots.release()  # who has enough is told to the camera with the next
    assert camera.closed.wait(30)


def test_the_last_frame_is_given_before_the_end() -> None:
    for _ in range(50):
        assert [*LatestFrames([b"1", b"2", b"3"])][-1].source == b"3"
    assert [*LatestFrames([])] == []


def test_what_the_frames_raise_comes_after_the_last_of_them() -> None:
    def frames() -> Iterator[bytes]:
        yield b"1"
        raise ZeroDivisionError

    given = []
    with pytest.raises(ZeroDivisionError):
        given.extend(frame.number for frame in LatestFrames(frames()))
    with pytest.raises(TypeError):
        next(iter(LatestFrames(3)))  # type: ignore[arg-type]


def test_an_error_that_comes_at_the_last_moment_is_not_lost() -> None:
    """Between the look whether there is a frame, and the one whether any will come."""
    mailbox = Mailbox(lambda: None)
    assert mailbox.take() is None
    mailbox.end(ZeroDivisionError())
    assert not mailbox.over
    with pytest.raises(ZeroDivisionError):
        mailbox.take()


def test_frames_come_once() -> None:
    latest = LatestFrames([b"1"])
    assert len([*latest]) == 1
    with pytest.raises(UsageError, match="come once"):
        next(iter(latest))


@pytest.mark.parametrize("given", [{"changed": 0.0}, {"changed": 1.1}, {"every_ms": 0}, {"every_ms": 1e9}])
def test_what_cannot_be_meant(given: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        LatestFrames([], **given)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="not a stream of pictures"):
        LatestFrames("photo.jpg")


def test_what_has_not_changed_is_passed_over() -> None:
    shots = [picture(1), picture(1), picture(2), picture(2), b"no picture", picture(2), picture(1)]

    def frames() -> Iterator[bytes]:
        for shot in shots:
            yield shot
            while len(given) + latest.unchanged < latest.came:  # each is looked at before the next comes
                time.sleep(0.001)

    given = []
    latest = LatestFrames(frames(), changed=0.1)
    for frame in latest:
        given.append(frame.source)
    assert latest.dropped == 0
    assert given == [picture(1), picture(2), b"no picture", picture(1)]
    assert latest.unchanged == 3


def test_one_frame_each_so_many_ms_at_most() -> None:
    given: list[float] = []

    def frames() -> Iterator[bytes]:
        while len(given) < 4:
            yield b"x"

    for _ in LatestFrames(frames(), every_ms=40):
        given.append(time.perf_counter())
    assert given[3] - given[0] >= 3 * 0.04


def test_memory_is_that_of_a_few_frames() -> None:
    size = 200_000

    def frames() -> Iterator[bytes]:
        for _ in range(500):
            yield bytes(size)

    tracemalloc.start()
    try:
        latest = LatestFrames(frames())
        count = sum(1 for _ in latest)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert latest.came == 500 == count + latest.dropped
    assert peak < 6 * size


# On an event loop


async def numbers(latest: LatestFrames) -> list[int]:
    return [frame.number async for frame in latest]


def test_on_a_loop_from_a_thread_and_from_tasks() -> None:
    async def ticking() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"x"

    assert asyncio.run(numbers(LatestFrames([b"1", b"2"])))[-1] == 2
    assert asyncio.run(numbers(LatestFrames(ticking())))[-1] == 5
    assert asyncio.run(numbers(LatestFrames(iter([])))) == []


def test_on_a_loop_what_the_frames_raise_is_raised() -> None:
    async def failing() -> AsyncIterator[bytes]:
        yield b"1"
        raise ImageError("lost", "camera")

    with pytest.raises(ImageError, match="lost"):
        asyncio.run(numbers(LatestFrames(failing())))
    with pytest.raises(UsageError, match="async for"):
        next(iter(LatestFrames(failing())))


def test_on_a_loop_all_but_the_newest_are_dropped() -> None:
    async def ticking() -> AsyncIterator[bytes]:
        for _ in range(30):
            yield b"x"
            await asyncio.sleep(0.001)

    async def slowly() -> tuple[list[int], LatestFrames]:
        latest, taken = LatestFrames(ticking()), []
        async for frame in latest:
            taken.append(frame.number)
            while latest.came < min(frame.number + 5, 30):
                await asyncio.sleep(0)
        return taken, latest

    taken, latest = asyncio.run(slowly())
    assert taken[-1] == 30
    assert len(taken) <= 7
    assert latest.dropped == 30 - len(taken)
