"""The client's own thread: what it is handed runs there, in order, until it is closed; and a fork leaves it whole."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from functools import partial

import pytest

from ondevice.client.engine import Engine
from ondevice.errors import OffloadError

PATIENCE_S = 30.0


@pytest.fixture
def engine() -> Iterator[Engine]:
    engine = Engine()
    yield engine
    engine.close()


async def ident() -> int:
    return threading.get_ident()


def test_all_runs_on_one_thread_that_is_not_the_callers(engine: Engine) -> None:
    found = {engine.submit(ident()).result(PATIENCE_S) for _ in range(5)}
    assert len(found) == 1
    assert threading.get_ident() not in found


def test_in_the_order_in_which_it_is_handed_in(engine: Engine) -> None:
    found: list[int] = []
    for number in range(1000):
        engine.post(partial(found.append, number))
    engine.submit(ident()).result(PATIENCE_S)
    assert found == list(range(1000))


def test_nothing_of_many_threads_is_lost(engine: Engine) -> None:
    found: list[int] = []

    def post(first: int) -> None:
        for number in range(first, first + 500):
            engine.post(partial(found.append, number))

    threads = [threading.Thread(target=post, args=(1000 * one,)) for one in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_S)
    engine.submit(ident()).result(PATIENCE_S)
    assert len(found) == len(set(found)) == 8 * 500


def test_an_error_goes_to_who_waits(engine: Engine) -> None:
    async def fail() -> None:
        raise OffloadError("no", "late")  # type: ignore[arg-type]

    with pytest.raises(OffloadError, match="no"):
        engine.submit(fail()).result(PATIENCE_S)


def test_what_blocks_runs_beside_it(engine: Engine) -> None:
    async def compare() -> bool:
        return await engine.aside(threading.get_ident) != threading.get_ident()

    assert engine.submit(compare()).result(PATIENCE_S)


def test_giving_up_a_future_ends_its_coroutine(engine: Engine) -> None:
    ended, begun = threading.Event(), threading.Event()

    async def wait() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    future = engine.submit(wait())
    assert begun.wait(PATIENCE_S)
    assert future.cancel()
    assert ended.wait(PATIENCE_S)


def test_one_that_was_given_up_before_it_began_does_not_begin(engine: Engine) -> None:
    go, begun = threading.Event(), threading.Event()

    async def begin() -> None:
        begun.set()

    engine.post(lambda: go.wait(PATIENCE_S) and None)
    engine.submit(begin()).cancel()
    go.set()
    engine.submit(ident()).result(PATIENCE_S)
    assert not begun.is_set()


def test_closing_ends_what_is_under_way_and_takes_no_more() -> None:
    engine, begun = Engine(), threading.Event()

    async def wait() -> None:
        begun.set()
        await asyncio.Event().wait()

    future = engine.submit(wait())
    assert begun.wait(PATIENCE_S)
    engine.close()
    engine.close()
    with pytest.raises(CancelledError):
        future.result(PATIENCE_S)
    with pytest.raises(OffloadError, match="the client is closed"):
        engine.submit(ident())
    with pytest.raises(OffloadError, match="the client is closed"):
        engine.post(lambda: None)


def test_a_system_that_gives_no_thread(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(OffloadError, match="no thread can be had"):
            engine.submit(ident())
    assert engine.submit(ident()).result(PATIENCE_S)


# A fork


def in_child(engine: Engine) -> int:
    """What a coroutine of the child's returns, as its exit status."""
    child = os.fork()
    if not child:
        status = 99
        try:
            status = engine.submit(ident()).result(5) and 7
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_it_works_in_the_child_of_a_fork_and_goes_on_in_the_parent(engine: Engine) -> None:
    before = engine.submit(ident()).result(PATIENCE_S)
    assert in_child(engine) == 7
    assert engine.submit(ident()).result(PATIENCE_S) == before


def test_a_fork_does_not_come_between_the_halves_of_a_step() -> None:
    """Two figures that are only ever changed together are seen together in every child."""
    figures = [0, 0]

    def different() -> None:
        if figures[0] != figures[1]:
            os._exit(1)

    engine, over = Engine(forked=different), threading.Event()

    def change() -> None:
        figures[0] += 1
        sum(range(20_000))  # some time passes
        figures[1] += 1
        if not over.is_set():
            engine.post(change)

    engine.post(change)
    try:
        assert {in_child(engine) for _ in range(10)} == {7}
    finally:
        over.set()
        engine.close()
    assert figures[0] > 10


def test_one_that_was_closed_is_closed_in_the_child_too() -> None:
    engine = Engine()
    engine.close()
    assert in_child(engine) == 99


def test_a_signal_may_fork_while_its_thread_does(engine: Engine) -> None:
    """Whether it comes before the fork, or after it, when the engine is told to go on."""
    before = engine.submit(ident()).result(PATIENCE_S)
    forked: list[int] = []

    def fork(*of: object) -> None:
        if not (child := os.fork()):
            os._exit(0)
        forked.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    rest, go_on = engine.rest, engine.go_on
    engine.rest = lambda: (rest(), signal.raise_signal(signal.SIGUSR1))  # type: ignore[method-assign,assignment]
    engine.go_on = lambda: (signal.raise_signal(signal.SIGUSR1), go_on())  # type: ignore[method-assign,assignment]
    previous = signal.signal(signal.SIGUSR1, fork)
    try:
        fork()
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert forked == [0, 0, 0]
    assert engine.submit(ident()).result(5) == before


def test_what_a_fork_left_to_the_parent_is_not_spoken_of_in_the_child() -> None:
    """A coroutine that was handed in and had not begun."""
    program = """
import os, threading
from ondevice.client.engine import Engine

async def work(): pass

engine, go, busy = Engine(), threading.Event(), threading.Event()
engine.post(lambda: (busy.set(), go.wait(10)))
busy.wait(10)
engine.submit(work())
child = os.fork()
if not child:
    import gc
    gc.collect()
    os._exit(0)
os.waitpid(child, 0)
go.set()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
