"""The pool with real worker processes: who comes when, with which model, and what a worker does with bad input."""

from __future__ import annotations

import asyncio
import os
import signal
from time import perf_counter
from typing import Any

import numpy as np
import pytest
from events import Events
from pooling import MODEL, OTHER, answer, job, until, with_pool

from ondevice.cloud.backends.workers.job import PlannedRun
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.errors import ImageError, ModelError, RefusedError


def test_a_picture_is_classified_and_the_model_loaded_on_the_way() -> None:
    async def body(pool: Pool, events: Events) -> None:
        first, _ = await answer(pool, job())
        again, _ = await answer(pool, job())
        assert first["top"][0][0] == again["top"][0][0] == 7
        assert first["load_ms"] > 0
        assert "load_ms" not in again
        assert pool.crew.warm() == {MODEL}

    with_pool(body)


def test_the_raw_output_and_a_tensor_in_its_place() -> None:
    async def body(pool: Pool, events: Events) -> None:
        _, raw = await answer(pool, job(raw=True))
        assert len(raw) == 10
        tensor = np.zeros((1, 48, 48, 1), np.int8).tobytes()
        reply, raw = await answer(pool, job(payload=tensor, op="tensor", top=0, raw=True))
        assert (reply["top"], reply["decode_ms"], len(raw)) == ([], 0.0, 10)

    with_pool(body)


def test_of_those_that_are_due_together_what_came_first_is_done_first() -> None:
    async def body(pool: Pool, events: Events) -> None:
        jobs = [job() for _ in range(12)]
        order: list[int] = []
        for number, work in enumerate(jobs):
            work.future.add_done_callback(lambda _, n=number: order.append(n))  # type: ignore[misc]
            pool.submit(work)
        await asyncio.gather(*(work.future for work in jobs))
        await asyncio.sleep(0)
        assert order == list(range(12))
        assert jobs[11].queue_ms > jobs[1].queue_ms > 0

    with_pool(body)


def test_what_is_due_first_is_done_first_whatever_came_first() -> None:
    async def body(pool: Pool, events: Events) -> None:
        now = perf_counter()
        jobs = [job(due=now + due_s, expected_ms=100) for due_s in (600, 500, 400, 300, 200, 100)]
        order: list[int] = []
        for number, work in enumerate(jobs):
            work.future.add_done_callback(lambda _, n=number: order.append(n))  # type: ignore[misc]
            pool.submit(work)
        await asyncio.gather(*(work.future for work in jobs))
        await asyncio.sleep(0)
        assert order == [0, 5, 4, 3, 2, 1]  # the first had begun already
        assert [work.overtaken_ms for work in jobs] == [0, 400, 300, 200, 100, 0]

    with_pool(body)


def test_what_waits_is_refused_when_it_is_due_even_if_no_worker_does_anything() -> None:
    async def body(pool: Pool, events: Events) -> None:
        os.kill(pool.crew.workers[0].pid, signal.SIGSTOP)
        begun, waiting = job(expected_ms=50), job(expected_ms=50)
        for work in (begun, waiting):
            work.ticket.due = work.ticket.expires = perf_counter() + 0.2
            pool.submit(work)
        assert (pool.crew.busy, len(pool.queue)) == (1, 1)
        for work in (waiting, begun):
            with pytest.raises(RefusedError):
                await work.future
            assert perf_counter() >= work.ticket.expires
        assert len(pool.queue) == 0
        assert events == []  # and before anyone has found out that the worker hangs

    with_pool(body)


def test_the_expected_wait_counts_what_runs_and_what_waits() -> None:
    async def body(pool: Pool, events: Events) -> None:
        assert pool.queue.wait_ms() == 0
        jobs = [job(expected_ms=100_000) for _ in range(5)]
        for work in jobs:
            pool.submit(work)
        # Two run, three wait: the next goes after the third, 100 s behind the first two.
        assert pool.queue.wait_ms() == pytest.approx(200_000, abs=10_000)
        assert (len(pool.queue), pool.crew.busy) == (3, 2)
        await asyncio.gather(*(work.future for work in jobs))
        assert pool.queue.wait_ms() == 0

    with_pool(body, count=2)


def test_the_plan_is_made_when_the_turn_comes() -> None:
    async def body(pool: Pool, events: Events) -> None:
        waits: list[float] = []
        first, second = job(expected_ms=100), job()
        second.ticket.reconsider = lambda turn: waits.append(second.foreseen_ms + turn.longer_ms)  # type: ignore[method-assign]
        second.plan = lambda: PlannedRun(OTHER, 1.0)
        pool.submit(first)
        pool.submit(second)
        assert waits == []
        await second.future
        assert waits[0] > 0
        assert pool.crew.workers[0].loaded == {MODEL, OTHER}

    with_pool(body)


def test_a_plan_that_refuses_costs_that_job_alone() -> None:
    async def body(pool: Pool, events: Events) -> None:
        def refuse() -> PlannedRun:
            raise RefusedError("too late", 1)

        first, second, third = job(), job(), job()
        second.plan = refuse
        for work in (first, second, third):
            pool.submit(work)
        with pytest.raises(RefusedError):
            await second.future
        assert (await third.future)[0]["top"]

    with_pool(body)


def test_a_job_that_nobody_waits_for_is_left_out() -> None:
    async def body(pool: Pool, events: Events) -> None:
        first, second, third = job(expected_ms=100), job(OTHER), job()
        for work in (first, second, third):
            pool.submit(work)
        second.future.cancel()
        await third.future
        assert OTHER not in pool.crew.workers[0].loaded

    with_pool(body)


def test_a_short_job_is_sent_before_the_one_ahead_of_it_is_done() -> None:
    async def body(pool: Pool, events: Events) -> None:
        jobs = [job(expected_ms=5) for _ in range(4)]
        for work in jobs:
            pool.submit(work)
        assert (pool.crew.busy, len(pool.queue)) == (1, 2)
        assert 10 <= pool.queue.wait_ms() <= 20  # the two that wait, and what is left of those at work
        await asyncio.gather(*(work.future for work in jobs))
        assert [work.queue_ms for work in jobs] == sorted(work.queue_ms for work in jobs)

    with_pool(body)


@pytest.mark.parametrize(
    ("bad", "error"),
    [({"payload": b"no picture"}, ImageError), ({"payload": b""}, ImageError), ({"model": "/none.tflite"}, ModelError)],
)
def test_a_bad_job_is_an_error_and_the_worker_lives(bad: dict[str, Any], error: type[Exception]) -> None:
    async def body(pool: Pool, events: Events) -> None:
        pid = pool.crew.workers[0].pid
        with pytest.raises(error):
            await answer(pool, job(**bad))
        assert (await answer(pool, job()))[0]["top"]
        assert pool.crew.workers[0].pid == pid

    with_pool(body)


def test_idle_workers_load_what_they_lack() -> None:
    async def body(pool: Pool, events: Events) -> None:
        loaded: list[tuple[str, int, float]] = []
        pool.residents.loaded = lambda *told: loaded.append(told)
        pool.residents.models |= {MODEL, OTHER}
        pool.residents.maintain()
        await until(lambda: len(loaded) == 4)
        assert {(model, pid) for model, pid, _ in loaded} == {
            (model, worker.pid) for model in (MODEL, OTHER) for worker in pool.crew.workers
        }
        assert all(load_ms > 0 for _, _, load_ms in loaded)
        assert pool.crew.warm() == {MODEL, OTHER}
        pool.residents.unload(MODEL)
        assert pool.crew.warm() == {OTHER}
        reply, _ = await answer(pool, job())
        assert reply["load_ms"] > 0

    with_pool(body, count=2)
