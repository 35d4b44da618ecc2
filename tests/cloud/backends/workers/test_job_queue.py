"""What becomes of jobs that wait, on a given clock and with given workers."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from types import SimpleNamespace
from typing import cast

import pytest
from clock import Clock

from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.workers import job_queue
from ondevice.cloud.backends.workers.comeback import Comeback
from ondevice.cloud.backends.workers.crew import Crew
from ondevice.cloud.backends.workers.handle import WorkerHandle
from ondevice.cloud.backends.workers.hands import Hands, Held
from ondevice.cloud.backends.workers.job import PlannedRun, WorkerJob
from ondevice.cloud.backends.workers.job_queue import JobQueue
from ondevice.protocol.served import Work


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The queue's; and a loop for futures, which nobody awaits here."""
    loop, clock = asyncio.new_event_loop(), Clock(100.0)
    asyncio.set_event_loop(loop)
    monkeypatch.setattr(job_queue, "perf_counter", clock)
    yield clock
    asyncio.set_event_loop(None)
    loop.close()


def job(expected_ms: float, due: float = math.inf) -> WorkerJob:
    plan, ticket = PlannedRun("net", expected_ms), Ticket("net", Work(b"", True, 1, False, 0.0), due, due)
    return WorkerJob({}, ticket, plan, lambda: plan, future=asyncio.get_event_loop().create_future(), queued=100.0)


def crew(*held: Held | None) -> Crew:
    """Workers that have this in their hands."""
    made = Crew(lambda: None)
    for one in held:
        hands = Hands()
        if one:
            hands.take(one)
        made.join(cast(WorkerHandle, SimpleNamespace(hands=hands)))
    return made


def test_the_wait_is_what_is_before_it_by_its_deadline() -> None:
    queue = JobQueue(crew(Held(100.0, 30.0)), 1, Comeback())
    assert queue.wait_ms() == pytest.approx(30.0)
    queue.add(job(10.0, due=200.0))
    queue.add(job(20.0, due=300.0))
    assert [queue.wait_ms(due) for due in (150.0, 250.0, 350.0)] == pytest.approx([30.0, 40.0, 60.0])
    assert queue.pop().due == 200.0
    assert queue.wait_ms(350.0) == pytest.approx(50.0)


def test_who_is_overtaken_waits_longer_by_its_share_of_the_workers() -> None:
    queue = JobQueue(crew(None, None), 2, Comeback())
    patient, hurried = job(10.0, due=300.0), job(20.0, due=200.0)
    for one in (patient, hurried):
        queue.add(one)
    assert (patient.overtaken_ms, hurried.overtaken_ms) == (10.0, 0.0)


def test_the_wait_follows_the_workers_and_the_clock(clock: Clock) -> None:
    workers = crew(Held(100.0, 30.0))
    queue = JobQueue(workers, 1, Comeback())
    assert queue.wait_ms() == pytest.approx(30.0)
    workers.workers[0].hands.take(Held(100.0, 30.0))
    workers.changed()
    assert queue.wait_ms() == pytest.approx(60.0)
    clock.pass_ms(20.0)
    assert queue.wait_ms() == pytest.approx(40.0)
    clock.pass_ms(30.0)
    assert queue.wait_ms() == pytest.approx(50.0), "what takes longer than expected takes as long again"


def test_while_there_is_no_worker_the_next_is_waited_for(clock: Clock) -> None:
    comeback = Comeback()
    comeback.came(0.5)
    comeback.awaited(clock())
    assert JobQueue(crew(), 1, comeback).wait_ms() == pytest.approx(500.0)


def test_those_whose_time_is_over_are_taken() -> None:
    queue = JobQueue(crew(Held(100.0, 30.0)), 1, Comeback())
    late, early = job(10.0, due=100.1), job(10.0, due=200.0)
    for one in (late, early):
        queue.add(one)
    assert queue.take_expired(100.1) == [late]
    assert list(queue) == [early]
