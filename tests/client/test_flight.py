"""One request under way, with places whose times are given: who answers, when, and what is begun and given up.

The clock is given, too: it stands still while something is done, and goes on where the flight waits.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Callable
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import pytest

from ondevice.answer import Answer, Prediction
from ondevice.client.executors.attempt import Attempt, AttemptOutcome, Task
from ondevice.client.executors.cloud import CloudAttempt
from ondevice.client.flight import Executors, Flight, FlightOptions
from ondevice.client.picture import Picture
from ondevice.client.planning.plan import Plan
from ondevice.errors import FailureKind, ImageError, ModelError, OffloadError, OnDeviceError, UpstreamError

NEVER = math.inf
CLOUD_TOP1, DEVICE_TOP1 = 0.9, 0.5
WRONG = UpstreamError("it answers 500", FailureKind.WRONG)


def answer(where: str, score: float) -> Answer:
    return Answer((Prediction(1, where, score),), "m", "r", 1, 0.0, 0.0, 0.0, where=where)


class Course(SimpleQueue[AttemptOutcome]):
    """A task's queue on a clock of its own: waiting for it is what makes the time pass.

    overslept_ms: by how much a wait for nothing takes longer than it was to.
    """

    def __init__(self, overslept_ms: float = 0.0) -> None:
        self.now_ms, self.overslept_ms = 0.0, overslept_ms
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._order = itertools.count()

    def after(self, ms: float, act: Callable[[], None]) -> None:
        """Do this so much later."""
        heapq.heappush(self._due, (self.now_ms + ms, next(self._order), act))

    def get(self, block: bool = True, timeout: float | None = None) -> AttemptOutcome:
        """What comes first within so many seconds. Raises Empty at their end."""
        end_ms = math.inf if timeout is None else round(self.now_ms + timeout * 1e3, 6)
        if self._due and self._due[0][0] <= end_ms:
            self.now_ms, _, act = heapq.heappop(self._due)
            act()
            return super().get(block=False)
        assert math.isfinite(end_ms), "it waits for ever"
        self.now_ms = end_ms + self.overslept_ms
        raise Empty


class Timed(Task):
    """A task whose time is that of its course."""

    @property
    def elapsed_ms(self) -> float:
        return self.done.now_ms


def task(sla_ms: float, overslept_ms: float = 0.0) -> Timed:
    return Timed(Picture(b""), sla_ms, 5, started=0.0, done=Course(overslept_ms))


class Place:
    """Hands in its result so long after it was begun; never, if that is inf."""

    def __init__(self, where: str, after_ms: float, result: OnDeviceError | None = None, **more: float) -> None:
        self.where, self.after_ms, self.more = where, after_ms, more
        self.result = result or answer(where, more.get("score", 0.6))
        # What it hands in before that: when, and of which accuracy, which is its score too.
        self.before: list[tuple[float, float]] = []
        self.begun: list[float] = []
        self.attempts: list[Any] = []

    def __call__(self, task: Timed, plan: Plan | None = None) -> Any:
        kind: Callable[..., Attempt] = CloudAttempt if self.where == "cloud" else Attempt
        usual = CLOUD_TOP1 if self.where == "cloud" else DEVICE_TOP1
        attempt = kind(task, self.where, self.more.get("top1", usual))
        if isinstance(attempt, CloudAttempt):
            attempt.sent_bytes = 1000
        self.begun.append(task.elapsed_ms)
        self.attempts.append(attempt)
        for after_ms, top1 in self.before:
            early = answer(self.where, top1)
            task.done.after(after_ms, partial(attempt.end, early, top1, last=False))
        if math.isfinite(self.after_ms):
            task.done.after(self.after_ms, partial(attempt.end, self.result, self.more.get("said")))
        return attempt


def fly(
    cloud: Place | None, device: Place | None, at_ms: float = 0.0, sla_ms: float = 300.0, **more: Any
) -> tuple[Answer, Flight, list[str]]:
    """A request that is sent where there is a cloud, and begun on the device at `at_ms`."""
    told: list[str] = []
    plan = Plan(cloud is not None, at_ms, "as planned", explore=more.pop("explore", False))
    options = FlightOptions(
        3.0, more.pop("patience_ms", 0.0), more.pop("confident", NEVER), lambda ms, what, detail: told.append(what)
    )
    flight = Flight(task(sla_ms), plan, Executors(cloud, device), options)
    return flight.run(), flight, told


def test_the_clouds_answer_before_the_device_has_to_begin() -> None:
    cloud, device = Place("cloud", 20), Place("device", 5)
    found, _, told = fly(cloud, device, at_ms=250)
    assert (found.where, found.on_time, found.why, found.sent_bytes) == ("cloud", True, "as planned", 1000)
    assert device.begun == []
    assert told == ["sent", "cloud answer", "answered"]


def test_the_device_begins_no_sooner_than_it_must_and_stands_in_for_a_late_cloud() -> None:
    cloud, device = Place("cloud", NEVER), Place("device", 20)
    found, _, told = fly(cloud, device, at_ms=200)
    assert (found.where, found.why) == ("device", "the cloud was late")
    assert device.begun == [200]
    assert found.total_ms == 297  # the cloud is waited for until then
    assert cloud.attempts[0].cancelled.is_set()
    assert told == ["sent", "device", "device answer", "answered"]


def test_the_clouds_answer_is_taken_while_the_devices_is_held() -> None:
    cloud, device = Place("cloud", 150), Place("device", 5)
    found, flight, _ = fly(cloud, device, at_ms=0, sla_ms=5000)
    assert found.where == "cloud"
    assert flight.device
    assert found.total_ms == 150


def test_the_device_begins_at_once_when_the_cloud_fails() -> None:
    cloud, device = Place("cloud", 5, WRONG), Place("device", 5)
    found, flight, told = fly(cloud, device, at_ms=4000, sla_ms=5000)
    assert (found.where, found.why) == ("device", "the cloud failed: it answers 500")
    assert found.total_ms == 5 + 5
    assert flight.failure is WRONG
    assert told == ["sent", "failed", "device", "device answer", "answered"]


def test_an_answer_of_the_device_that_nothing_can_better_is_not_held() -> None:
    found, _, _ = fly(Place("cloud", NEVER, top1=0.3), Place("device", 5), sla_ms=5000)
    assert (found.where, found.total_ms) == ("device", 5)


def test_a_worse_answer_of_the_cloud_waits_for_the_device() -> None:
    found, _, _ = fly(Place("cloud", 5, said=0.3), Place("device", 60), sla_ms=5000)
    assert (found.where, found.why) == ("device", "the device's answer is worth more")


@pytest.mark.parametrize(("score", "where"), [(0.95, "device"), (0.7, "cloud")])
def test_a_confident_device_ends_it(score: float, where: str) -> None:
    cloud, device = Place("cloud", 200), Place("device", 5, score=score)
    found, _, _ = fly(cloud, device, at_ms=4000, sla_ms=5000, confident=0.9)
    assert found.where == where
    assert (found.why == "the device was confident") == (where == "device")
    assert device.begun == [0]  # at once, and not as late as it could
    assert found.total_ms == (5 if where == "device" else 200)


def test_without_a_device_a_late_cloud_is_waited_for() -> None:
    found, _, _ = fly(Place("cloud", 150), None, at_ms=NEVER, sla_ms=50, patience_ms=5000)
    assert (found.where, found.on_time, found.total_ms) == ("cloud", False, 150)


def test_without_a_device_patience_ends() -> None:
    cloud = Place("cloud", NEVER)
    with pytest.raises(OffloadError, match="no answer in time; no model on the device") as caught:
        fly(cloud, None, at_ms=NEVER, sla_ms=50, patience_ms=50)
    assert caught.value.failure == "late"
    assert cloud.attempts[0].cancelled.is_set()


def test_a_device_that_is_late_answers_late_when_nothing_else_does() -> None:
    found, _, _ = fly(Place("cloud", NEVER), Place("device", 120), at_ms=0, sla_ms=60)
    assert (found.where, found.on_time, found.total_ms) == ("device", False, 120)


def test_the_device_alone() -> None:
    found, flight, told = fly(None, Place("device", 5))
    assert (found.where, found.sent_bytes, found.why) == ("device", 0, "as planned")
    assert flight.cloud is None
    assert told == ["device", "device answer", "answered"]


def test_neither() -> None:
    with pytest.raises(OffloadError, match="neither an endpoint nor a model"):
        fly(None, None)


def test_both_fail() -> None:
    broken = ModelError("the model is broken", "m")
    with pytest.raises(ModelError, match="broken"):
        fly(Place("cloud", 5, WRONG), Place("device", 5, broken))


def test_a_picture_that_cannot_be_read_here_nor_there() -> None:
    unreadable = ImageError("is not a picture", None)
    rejected = UpstreamError("it answers 400: is not a picture", FailureKind.REJECTED)
    with pytest.raises(ImageError, match="is not a picture"):
        fly(Place("cloud", 5, rejected), Place("device", 5, unreadable))


def test_a_picture_that_only_the_cloud_can_read() -> None:
    unreadable = ImageError("is not a picture", None)
    found, _, _ = fly(Place("cloud", 60), Place("device", 5, unreadable))
    assert found.where == "cloud"


def test_exploring_does_not_give_the_reply_up() -> None:
    cloud, device = Place("cloud", NEVER), Place("device", 5)
    found, _, _ = fly(cloud, device, sla_ms=60, explore=True)
    assert (found.where, found.why) == ("device", "as planned")
    assert not cloud.attempts[0].cancelled.is_set()


# The cloud only after the device


UNSURE = Plan(True, 0.0, "unsure")


def first(
    cloud: Place, device: Place, then: Plan, sla_ms: float = 300.0, overslept_ms: float = 0.0
) -> tuple[Answer, Flight, list[str]]:
    """A request that begins on the device alone, and goes on by `then` once that has come to something."""
    told: list[str] = []
    options = FlightOptions(3.0, 0.0, 0.9, lambda ms, what, detail: told.append(what))
    start = Executors(cloud, device, lambda attempt: then)
    flight = Flight(task(sla_ms, overslept_ms), Plan(False, 0.0, "device first"), start, options)
    return flight.run(), flight, told


def test_what_the_device_is_sure_of_is_not_sent() -> None:
    cloud = Place("cloud", 5)
    found, flight, told = first(cloud, Place("device", 5, score=0.95), Plan(False, 0.0, "sure"), sla_ms=5000)
    assert (found.where, found.why, found.sent_bytes) == ("device", "sure", 0)
    assert (cloud.begun, flight.cloud) == ([], None)
    assert told == ["device", "device answer", "answered"]


def test_the_cloud_is_asked_after_the_device_and_wins() -> None:
    cloud, device = Place("cloud", 5), Place("device", 50)
    found, _, told = first(cloud, device, UNSURE, sla_ms=5000)
    assert (found.where, found.why, found.sent_bytes) == ("cloud", "unsure", 1000)
    assert cloud.begun == [50]
    assert told == ["device", "device answer", "sent", "cloud answer", "answered"]


def test_the_devices_answer_stands_in_for_a_cloud_that_is_late() -> None:
    cloud = Place("cloud", NEVER)
    found, _, _ = first(cloud, Place("device", 5), UNSURE)
    assert (found.where, found.why) == ("device", "the cloud was late")
    assert found.total_ms == 297  # the cloud is waited for until then
    assert cloud.attempts[0].cancelled.is_set()


def test_the_devices_answer_is_not_held_when_the_cloud_fails() -> None:
    device = Place("device", 5)
    found, flight, told = first(Place("cloud", 5, WRONG), device, UNSURE, sla_ms=5000)
    assert (found.where, found.why) == ("device", "the cloud failed: it answers 500")
    assert found.total_ms == 5 + 5
    assert flight.failure is WRONG
    assert (len(device.begun), told[-2:]) == (1, ["failed", "answered"])


def test_a_worse_answer_of_the_cloud_is_not_taken() -> None:
    found, _, _ = first(Place("cloud", 5, said=0.3), Place("device", 5), UNSURE, sla_ms=5000)
    assert (found.where, found.why) == ("device", "the device's answer is worth more")


def test_the_cloud_is_asked_where_the_device_fails() -> None:
    found, _, told = first(Place("cloud", 5), Place("device", 5, ModelError("broken", "m")), UNSURE, sla_ms=5000)
    assert found.where == "cloud"
    assert told == ["device", "sent", "cloud answer", "answered"]


def test_the_devices_error_is_told_where_the_cloud_fails_too() -> None:
    cloud = Place("cloud", 5, WRONG)
    with pytest.raises(ModelError, match="broken"):
        first(cloud, Place("device", 5, ModelError("broken", "m")), UNSURE, sla_ms=5000)
    assert len(cloud.begun) == 1


@pytest.mark.parametrize("overslept_ms", [0.0, 20.0], ids=["in time", "overslept"])
def test_trying_after_the_device_does_not_give_the_reply_up(overslept_ms: float) -> None:
    cloud, then = Place("cloud", NEVER), UNSURE._replace(explore=True)
    found, flight, _ = first(cloud, Place("device", 5), then, sla_ms=60, overslept_ms=overslept_ms)
    assert (found.total_ms, flight.overslept_ms) == (57 + overslept_ms, overslept_ms)
    assert (found.where, found.why, flight.failure) == ("device", "unsure", None)
    assert not cloud.attempts[0].cancelled.is_set()


# Several answers of the cloud


def several(after_ms: float, *before: tuple[float, float]) -> Place:
    place = Place("cloud", after_ms)
    place.before = list(before)
    return place


def test_a_better_answer_is_waited_for_until_the_deadline() -> None:
    cloud = several(NEVER, (5, 0.4), (40, 0.5))
    found, flight, told = fly(cloud, None)
    assert (found.where, found.score, found.why) == ("cloud", 0.5, "as planned")
    assert (found.total_ms, flight.overslept_ms) == (297, 0)
    assert cloud.attempts[0].cancelled.is_set()
    assert told == ["sent", "cloud answer", "cloud answer", "answered"]


def test_the_last_answer_ends_it() -> None:
    found, _, told = fly(several(60, (5, 0.4)), None, sla_ms=5000)
    assert (found.score, found.total_ms) == (0.6, 60)
    assert told == ["sent", "cloud answer", "cloud answer", "answered"]


def test_the_device_does_not_begin_once_the_cloud_has_answered() -> None:
    device = Place("device", 5)
    found, _, _ = fly(several(NEVER, (5, 0.6)), device, at_ms=100)
    assert (found.where, device.begun) == ("cloud", [])


def test_an_answer_stands_though_the_cloud_fails_after_it() -> None:
    cloud, device = Place("cloud", 60, WRONG), Place("device", 5)
    cloud.before = [(5, 0.6)]
    found, flight, _ = fly(cloud, device, at_ms=4000, sla_ms=5000)
    assert (found.where, found.total_ms, device.begun) == ("cloud", 60, [])
    assert flight.failure is WRONG


def test_of_device_and_cloud_the_best_counts_whatever_came_last() -> None:
    found, _, _ = fly(several(NEVER, (60, 0.3)), Place("device", 5))
    assert found.where == "device"
    found, _, _ = fly(several(NEVER, (60, 0.7)), Place("device", 5))
    assert (found.where, found.score) == ("cloud", 0.7)
