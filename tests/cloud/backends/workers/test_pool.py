"""The pool with real worker processes: order, deaths, hangs, and what a worker does with bad input."""

from __future__ import annotations

import asyncio
import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pytest

from ondevice import __version__
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.workers.job import PlannedRun, WorkerJob
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.process import Reply, WorkerProcess
from ondevice.cloud.backends.workers.supervisor import Workers
from ondevice.errors import ImageError, ModelError, RefusedError, WorkerDiedError
from ondevice.models import zoo
from ondevice.process import child
from ondevice.protocol.served import Work

MODEL, OTHER = "digits_m_int8", "digits_xs_int8"
PICTURE = next(iter(sorted(zoo.samples_dir().glob("7/*.png")))).read_bytes()


class Events(list[tuple[str, dict[str, Any]]]):
    def __call__(self, event: str, **fields: Any) -> None:
        self.append((event, fields))

    def named(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self if name == event]


def job(
    model: str = MODEL, payload: bytes = PICTURE, expected_ms: float = 1.0, due: float = math.inf, **message: Any
) -> WorkerJob:
    message = {"op": "image", "top": 3, "raw": False, **message}
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


def test_first_come_first_served() -> None:
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


def test_a_death_is_charged_to_the_job_that_the_worker_was_at() -> None:
    """What was sent ahead behind it is done by another worker as often as it takes."""

    async def body(pool: Pool, events: Events) -> None:
        # It keeps a worker busy for 0.3 s, in which that is killed.
        bad, innocent = job(expected_ms=5, op="measure", runs=10**9), job(expected_ms=5)
        pool.submit(bad)
        pool.submit(innocent)
        for deaths in (1, 2):
            await until(lambda: pool.crew.busy == 1)
            assert len(pool.queue) == 0  # both are in its hands
            os.kill(pool.crew.workers[0].pid, signal.SIGKILL)
            await until(lambda n=deaths: len(events.named("worker died")) == n)  # type: ignore[misc]
        with pytest.raises(WorkerDiedError):
            await bad.future
        assert (await innocent.future)[0]["top"]
        assert (bad.deaths, innocent.deaths) == (2, 0)

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


def test_a_killed_worker_is_replaced_and_its_job_done_by_another() -> None:
    async def body(pool: Pool, events: Events) -> None:
        pool.residents.models.add(MODEL)
        pid = pool.crew.workers[0].pid
        os.kill(pid, signal.SIGSTOP)  # so that it holds the job when it dies
        work = job()
        pool.submit(work)
        os.kill(pid, signal.SIGKILL)
        assert (await work.future)[0]["top"][0][0] == 7
        assert pool.crew.workers[0].pid != pid
        assert MODEL in pool.crew.workers[0].loaded
        assert "SIGKILL" in events.named("worker died")[0]["reason"]
        assert events.named("worker started")

    with_pool(body)


def test_while_there_is_no_worker_one_is_expected_as_soon_as_starting_one_takes() -> None:
    async def body(pool: Pool, events: Events) -> None:
        pool.supervisor._comeback.takes_s = 60.0
        pool.crew.workers[0].process.kill()
        await until(lambda: not pool.crew.workers)
        assert 30_000 < pool.queue.wait_ms() <= 60_000
        await until(lambda: bool(pool.crew.workers))
        assert pool.queue.wait_ms() == 0
        assert 0 < pool.supervisor._comeback.takes_s < 60.0

    with_pool(body)


def test_a_job_that_kills_two_workers_is_given_up() -> None:
    async def body(pool: Pool, events: Events) -> None:
        work = job()
        for _ in range(2):
            await until(lambda: bool(pool.crew.workers))
            os.kill(pool.crew.workers[0].pid, signal.SIGSTOP)
            if not work.deaths:
                pool.submit(work)
            await until(lambda: pool.crew.busy == 1)
            os.kill(pool.crew.workers[0].pid, signal.SIGKILL)
            await until(lambda: not pool.crew.workers or work.future.done())
        with pytest.raises(WorkerDiedError, match="SIGKILL"):
            await work.future
        assert (await answer(pool, job()))[0]["top"]

    with_pool(body)


def test_a_worker_that_hangs_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ondevice.cloud.backends.workers.hands._HANGS_MS", 200.0)

    async def body(pool: Pool, events: Events) -> None:
        await answer(pool, job())
        pid = pool.crew.workers[0].pid
        os.kill(pid, signal.SIGSTOP)
        work = job()
        pool.submit(work)
        while any(worker.pid == pid for worker in pool.crew.workers):  # the next one may take its time
            await asyncio.sleep(0.02)
        assert (await work.future)[0]["top"]
        assert pool.crew.workers[0].pid != pid

    with_pool(body)


def test_an_idle_worker_that_stands_still_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ondevice.cloud.backends.workers.hands._SILENT_S", 0.2)
    monkeypatch.setattr("ondevice.cloud.backends.workers.hands._HANGS_MS", 1000.0)

    async def body(pool: Pool, events: Events) -> None:
        stopped, other = (worker.pid for worker in pool.crew.workers)
        os.kill(stopped, signal.SIGSTOP)
        await until(lambda: bool(events.named("worker started")))
        (died,) = events.named("worker died")
        assert died["worker"] == stopped
        assert died["reason"].startswith("a worker process was killed: it had not answered for")
        pids = [worker.pid for worker in pool.crew.workers]
        assert stopped not in pids
        assert other in pids

    with_pool(body, count=2)


def test_a_new_worker_that_stands_still_is_ended_and_another_started(monkeypatch: pytest.MonkeyPatch) -> None:
    start, stopped = WorkerProcess.start, []

    async def stands_still() -> WorkerProcess:
        process = await start()
        if not stopped:
            stopped.append(process.pid)
            os.kill(process.pid, signal.SIGSTOP)
            monkeypatch.setattr("ondevice.cloud.backends.workers.hands._LOADING_MS", 500.0)
        return process

    async def body(pool: Pool, events: Events) -> None:
        monkeypatch.setattr(WorkerProcess, "start", stands_still)
        pool.crew.workers[0].process.kill()
        await until(lambda: bool(events.named("worker not started")))
        monkeypatch.setattr("ondevice.cloud.backends.workers.hands._LOADING_MS", 30_000.0)
        await until(lambda: bool(events.named("worker started")))
        (failed,) = events.named("worker not started")
        assert failed["error"].startswith("a worker process was killed: it had not answered for")
        assert not alive(stopped[0])
        assert (await answer(pool, job()))[0]["top"]

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


@pytest.mark.parametrize(
    ("where", "name", "value", "said"),
    [
        (child, "__version__", "0.0.1", f"ondevice 0.0.1 was replaced by {__version__} while it ran: start it again"),
        (
            sys,
            "executable",
            "/nonexistent",
            "no process can be started with /nonexistent: no such file or directory",
        ),
    ],
    ids=["a package that was replaced", "no Python"],
)
def test_workers_that_cannot_be_started_are_said_in_one_line_and_tried_again(
    monkeypatch: pytest.MonkeyPatch, where: object, name: str, value: str, said: str
) -> None:
    async def body(pool: Pool, events: Events) -> None:
        monkeypatch.setattr(where, name, value)
        pool.crew.workers[0].process.kill()
        await until(lambda: bool(events.named("worker not started")))
        assert events.named("worker not started")[0]["error"] == said
        monkeypatch.undo()
        await until(lambda: bool(pool.crew.workers))

    with_pool(body)


def test_a_worker_ends_when_the_server_is_killed() -> None:
    server = (
        "import asyncio, os; from ondevice.cloud.backends.workers.process import WorkerProcess\n"
        "async def main():\n    print((await WorkerProcess.start()).pid, flush=True); os.kill(os.getpid(), 9)\n"
        "asyncio.run(main())"
    )
    said = subprocess.run([sys.executable, "-c", server], stdout=subprocess.PIPE, check=False).stdout
    worker, deadline = int(said), time.monotonic() + 30
    while alive(worker) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not alive(worker)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A process that ended, and that nobody has asked for yet, counts as gone.
    return (
        not Path(f"/proc/{pid}/stat").exists()
        or Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    )
