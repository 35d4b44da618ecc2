"""The pool when its workers die, stand still, or cannot be started; with real processes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from time import perf_counter

import pytest
from events import Events
from pooling import MODEL, answer, job, until, with_pool

from ondevice import __version__
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.process import WorkerProcess
from ondevice.errors import WorkerDiedError
from ondevice.process import child


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


def test_what_a_worker_had_when_it_died_keeps_its_place() -> None:
    """Seen once: of two jobs in its hands the second then went before the first."""

    async def body(pool: Pool, events: Events) -> None:
        now, pid = perf_counter(), pool.crew.workers[0].pid
        os.kill(pid, signal.SIGSTOP)
        jobs, order = [job(due=now + due_s, expected_ms=5) for due_s in (100, 200, 300)], list[int]()
        for number, work in enumerate(jobs):
            work.future.add_done_callback(lambda _, n=number: order.append(n))  # type: ignore[misc]
            pool.submit(work)
        assert len(pool.queue) == 1  # the others are in its hands
        os.kill(pid, signal.SIGKILL)
        await asyncio.gather(*(work.future for work in jobs))
        await asyncio.sleep(0)
        assert order == [0, 1, 2]

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


def test_a_job_that_comes_while_an_idle_worker_ends_is_not_charged_with_its_death() -> None:
    async def body(pool: Pool, events: Events) -> None:
        pool.crew.workers[0].process.kill()
        work = job()
        assert (await answer(pool, work))[0]["top"][0][0] == 7
        assert work.deaths == 0

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
