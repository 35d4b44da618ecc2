"""Counting what a client has done."""

from __future__ import annotations

from collections import Counter

from ondevice.answer import Answer, Prediction
from ondevice.client.executors.attempt import Ending
from ondevice.client.totals import Totals
from ondevice.errors import FailureKind, OffloadError, UpstreamError


def answer(where: str, on_time: bool | None) -> Answer:
    return Answer((Prediction(0, "a", 1.0),), "m", "", 1, 0, 0, 0, where=where, on_time=on_time)


def test_nothing_yet() -> None:
    assert Totals() == Totals(requests=0, on_time=0, cloud=0, device=0, both=0, sent_bytes=0)
    assert not Totals().failures


def test_each_request_counts_once_in_all_that_it_was() -> None:
    totals = Totals()
    cloud, device, none = answer("cloud", True), answer("device", True), OffloadError("no", FailureKind.CUT)
    totals.count(cloud, Ending(cloud, 1000))
    totals.count(answer("cloud", False), Ending(cloud, 500, both=True))
    totals.count(device, Ending(device))
    late = UpstreamError("late", FailureKind.LATE)
    totals.count(answer("device", None), Ending(device, 70, both=True, failure=late))
    totals.count(None, Ending(none, 3))
    totals.count(None, None)
    failures = Counter({FailureKind.LATE: 1})
    assert totals == Totals(requests=6, on_time=2, cloud=2, device=2, both=2, sent_bytes=1573, failures=failures)


def test_failures_are_each_client_s_own() -> None:
    one, other = Totals(), Totals()
    one.failures["late"] += 2
    one.failures["cut"] += 1
    assert one.failures == {"late": 2, "cut": 1}
    assert not other.failures
