"""Threads beside the client's own: in order, so many at most, replaced where one hangs, and waited for by nobody."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Iterator

import pytest
from serving import until

from ondevice.client.daemon_threads import DaemonThreads
from ondevice.errors import OffloadError

PATIENCE_S = 30.0


@pytest.fixture
def workers() -> Iterator[DaemonThreads]:
    workers = DaemonThreads(2, "tested")
    yield workers
    workers.close()


def alive(name: str) -> int:
    return sum(thread.name == name for thread in threading.enumerate())


def test_what_comes_of_it(workers: DaemonThreads) -> None:
    def fail() -> None:
        raise OSError("no")

    assert asyncio.run(workers.run(lambda: 5)) == 5
    with pytest.raises(OSError, match="no"):
        asyncio.run(workers.run(fail))


def test_so_many_at_a_time(workers: DaemonThreads) -> None:
    go, begun = threading.Event(), threading.Semaphore(0)

    def wait() -> None:
        begun.release()
        go.wait(PATIENCE_S)

    async def many() -> None:
        tasks = [asyncio.create_task(workers.run(wait)) for _ in range(5)]
        await asyncio.to_thread(lambda: [begun.acquire(timeout=PATIENCE_S) for _ in range(2)])
        assert not begun.acquire(blocking=False)
        assert alive("tested") == 2
        go.set()
        await asyncio.gather(*tasks)

    asyncio.run(many())


def test_one_that_hangs_and_was_given_up_has_its_place_taken() -> None:
    workers, go, begun = DaemonThreads(1, "hanging"), threading.Event(), threading.Event()

    def hang() -> None:
        begun.set()
        go.wait(PATIENCE_S)

    async def hang_and_go_on() -> int:
        hanging = asyncio.create_task(workers.run(hang))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        hanging.cancel()
        await asyncio.wait([hanging])
        return await workers.run(lambda: 5)

    assert asyncio.run(hang_and_go_on()) == 5
    assert alive("hanging") == 2
    go.set()
    until(lambda: alive("hanging") == 1)
    workers.close()
    until(lambda: alive("hanging") == 0)


def test_what_was_given_up_before_it_began_does_not_begin() -> None:
    workers, go, begun, more = DaemonThreads(1, "tested"), threading.Event(), threading.Event(), threading.Event()

    async def give_up() -> None:
        workers.begin(lambda: (begun.set(), go.wait(PATIENCE_S)))
        task = asyncio.create_task(workers.run(more.set))
        await asyncio.to_thread(begun.wait, PATIENCE_S)
        task.cancel()
        await asyncio.wait([task])
        go.set()
        await workers.run(lambda: None)

    asyncio.run(give_up())
    assert not more.is_set()
    workers.close()


def test_closed_ones_finish_and_take_no_more(workers: DaemonThreads) -> None:
    go, done = threading.Event(), threading.Event()
    workers.begin(lambda: go.wait(PATIENCE_S))
    workers.begin(done.set)
    threading.Timer(0.05, go.set).start()
    workers.close(wait=True)
    assert done.is_set()
    with pytest.raises(OffloadError, match="the client is closed"):
        workers.begin(done.set)


def test_no_thread_is_left_of_those_that_nobody_has_any_more() -> None:
    workers = DaemonThreads(2, "forgotten")
    for _ in range(2):
        workers.begin(lambda: None)
    assert alive("forgotten") == 2
    del workers
    gc.collect()
    until(lambda: not alive("forgotten"))


def test_a_system_that_gives_no_threads(workers: DaemonThreads, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OffloadError, match="no thread can be had"):
            workers.begin(lambda: None)
    workers.begin(lambda: None)
