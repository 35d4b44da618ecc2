"""What a worker has in its hands, on a given clock: when it is done, when it hangs, and who has waited too long."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator

import pytest

from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.workers.hands import Hands, Held
from ondevice.cloud.backends.workers.job import PlannedRun, WorkerJob
from ondevice.protocol.served import Work


@pytest.fixture(autouse=True)
def loop() -> Iterator[None]:
    """For futures, which nobody awaits here."""
    made = asyncio.new_event_loop()
    asyncio.set_event_loop(made)
    yield
    asyncio.set_event_loop(None)
    made.close()


def job(expires: float = math.inf) -> WorkerJob:
    plan, ticket = PlannedRun("net", 10.0), Ticket("net", Work(b"", True, 1, False, 0.0), expires, expires)
    return WorkerJob({}, ticket, plan, lambda: plan, future=asyncio.get_event_loop().create_future())


def hands(*held: Held) -> Hands:
    made = Hands()
    for one in held:
        made.take(one)
    return made


def test_a_worker_is_free_when_all_that_it_has_is_done() -> None:
    two = hands(Held(100.0, 10.0), Held(100.0, 30.0))
    assert two.free_at(100.0) == pytest.approx(100.04)
    assert two.free_at(100.005) == pytest.approx(100.04)
    assert two.outlook(100.005)[1] == pytest.approx(100.01)
    assert hands().free_at(100.0) == 100.0


def test_what_takes_longer_than_expected_takes_as_long_again() -> None:
    """A worker that stands still is not told to be free in a moment."""
    held = hands(Held(100.0, 10.0))
    assert held.free_at(100.5) == pytest.approx(100.99)
    assert held.outlook(100.5)[1] == 100.5


def test_what_was_sent_ahead_begins_when_the_one_before_it_is_done() -> None:
    two = hands(Held(100.0, 10.0), Held(100.0, 10.0))
    assert two.done(103.0) == 100.0
    assert not two.hung_s(104.9)
    assert two.done(104.9) == 103.0


def test_the_next_job_is_sent_ahead_of_a_short_one_that_goes_well() -> None:
    assert hands(Held(100.0, 10.0)).takes_more(100.01)
    assert not hands(Held(100.0, 10.0)).takes_more(100.04)
    assert not hands(Held(100.0, 30.0)).takes_more(100.01)
    assert not hands(Held(100.0, 10.0), Held(100.0, 10.0)).takes_more(100.01)


def test_a_worker_hangs_by_what_was_expected_but_never_before_two_seconds() -> None:
    short, long, loading = Held(100.0, 5.0), Held(100.0, 700.0), Held(100.0, 5.0, loads=True)
    assert [hands(one).hung_s(101.9) for one in (short, long, loading)] == [0, 0, 0]
    assert [hands(one).hung_s(102.1) for one in (short, long, loading)] == [pytest.approx(2.1), 0, 0]
    assert [hands(one).hung_s(107.1) for one in (short, long, loading)] == [pytest.approx(7.1), pytest.approx(7.1), 0]
    assert hands(loading).hung_s(130.1)
    assert not hands().hung_s(200.0)


def test_who_has_had_nothing_to_do_for_two_seconds_is_silent() -> None:
    held = hands(Held(100.0, 10.0))
    assert not held.silent(200.0), "it has something to do"
    held.done(200.0)
    assert [held.silent(now) for now in (201.9, 202.1)] == [False, True]


def test_who_is_at_it_is_told_at_the_deadline_and_a_little_after_jitter() -> None:
    """A client with 200 ms hears at 200; one with 5 ms gets an answer that is only somewhat late."""
    patient, hurried = job(100.2), job(100.005)
    held = hands(Held(100.0, 10.0, patient), Held(100.0, 10.0, hurried))
    assert held.expires() == pytest.approx(100.14)
    assert held.expired(100.1) == []
    assert held.expired(100.15) == [hurried]
    assert held.expired(100.2) == [patient, hurried]
    patient.future.cancel()
    assert held.expired(100.2) == [hurried]
    assert hands(Held(100.0, 10.0)).expires() == math.inf


def test_the_first_of_the_jobs_is_the_one_that_it_is_at() -> None:
    first, second = job(), job()
    assert hands(Held(100.0, 1.0, first), Held(100.0, 1.0, second)).at is first
    assert hands(Held(100.0, 1.0), Held(100.0, 1.0, second)).at is None
    assert hands().at is None
