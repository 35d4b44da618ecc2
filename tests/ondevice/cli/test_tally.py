"""Counting requests: which share is of what."""

from __future__ import annotations

import math

from ondevice.answer import Answer, Outcome, Prediction
from ondevice.cli.tally import Graded, Tally
from ondevice.errors import FailureKind, ImageError, OffloadError


def test_shares_are_of_requests_or_of_answers() -> None:
    def answered(right: bool, on_time: bool, where: str) -> Graded:
        top = (Prediction(0, "x", 0.5),)
        answer = Answer(top, "m", "", 0, 1.0, 1.0, 10.0, where=where, on_time=on_time)
        return Graded(Outcome("p", answer), right)

    tally = Tally(has_truth=True)
    for done in (answered(True, True, "cloud"), answered(True, False, "device"), answered(False, True, "cloud")):
        tally.add(done)
    tally.add(Graded(Outcome("p", OffloadError("no", FailureKind.LATE)), None))
    tally.add(Graded(Outcome("p", ImageError("no", "p")), None))
    assert (tally.requests, tally.unreadable, tally.pictures, tally.failed) == (4, 1, 5, 2)
    assert tally.shares() == {
        "attainment": 2 / 4, "top1": 2 / 3, "effective_top1": 1 / 4, "cloud": 2 / 3, "device": 1 / 3,
    }  # fmt: skip
    assert all(math.isnan(share) for share in Tally(has_truth=True).shares().values())
