"""Counting what a client has done."""

from __future__ import annotations

import math
from collections import Counter

from ondevice.answer import Answer, Prediction
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.flight import Executors, Flight, FlightOptions
from ondevice.client.picture import Picture
from ondevice.client.planning.plan import Plan
from ondevice.client.totals import Totals
from ondevice.errors import FailureKind, UpstreamError

OPTIONS = FlightOptions(0.0, 0.0, math.inf, lambda ms, what, detail: None)


def answer(where: str, on_time: bool | None) -> Answer:
    return Answer((Prediction(0, "a", 1.0),), "m", "", 1, 0, 0, 0, where=where, on_time=on_time)


def test_nothing_yet() -> None:
    assert Totals() == Totals(requests=0, on_time=0, cloud=0, device=0, both=0, sent_bytes=0)
    assert not Totals().failures


def flight(sent_bytes: int, both: bool, failure: UpstreamError | None = None) -> Flight:
    """One that has sent so much, and begun here too or not."""
    flown = Flight(Task(Picture(b""), 100, 5), Plan(False, 0.0, ""), Executors(None, None), OPTIONS)
    flown.progress.cloud = Attempt(flown.task, "cloud", 1.0) if sent_bytes or both else None
    if flown.progress.cloud:
        flown.progress.cloud.sent_bytes = sent_bytes
    flown.progress.device = Attempt(flown.task, "device", 1.0) if both else None
    flown.progress.failure = failure
    return flown


def test_each_request_counts_once_in_all_that_it_was() -> None:
    totals = Totals()
    totals.count(answer("cloud", True), flight(1000, both=False))
    totals.count(answer("cloud", False), flight(500, both=True))
    totals.count(answer("device", True), flight(0, both=False))
    totals.count(answer("device", None), flight(70, both=True, failure=UpstreamError("late", FailureKind.LATE)))
    totals.count(None, flight(3, both=False))
    totals.count(None, None)
    late = Counter({FailureKind.LATE: 1})
    assert totals == Totals(requests=6, on_time=2, cloud=2, device=2, both=2, sent_bytes=1573, failures=late)


def test_failures_are_each_client_s_own() -> None:
    one, other = Totals(), Totals()
    one.failures["late"] += 2
    one.failures["cut"] += 1
    assert one.failures == {"late": 2, "cut": 1}
    assert not other.failures
