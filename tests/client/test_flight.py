"""One request under way, with places whose times are given: who answers, when, and what is begun and given up.

The clock is given, too: it stands still while something is done, and goes on where the flight waits.
"""

from __future__ import annotations

import asyncio
import math
from functools import partial
from typing import Any, NamedTuple

import pytest
import virtual_time

from ondevice.answer import Answer, Prediction
from ondevice.client.executors.attempt import Attempt, Ending, Task
from ondevice.client.flight import Executors, Flight, FlightOptions
from ondevice.client.picture import Picture
from ondevice.client.planning.plan import Plan
from ondevice.errors import FailureKind, ImageError, ModelError, OffloadError, OnDeviceError, UpstreamError

NEVER = math.inf
CLOUD_TOP1, DEVICE_TOP1 = 0.9, 0.5
WRONG = UpstreamError("it answers 500", FailureKind.WRONG)


def answer(where: str, score: float) -> Answer:
    return Answer((Prediction(1, where, score),), "m", "r", 1, 0.0, 0.0, 0.0, where=where)


class Timed(Task):
    """A task whose time is that of the loop."""

    @property
    def elapsed_ms(self) -> float:
        return round(asyncio.get_running_loop().time() * 1e3, 6)


def task(sla_ms: float) -> Timed:
    return Timed(Picture(b""), sla_ms, 5, started=0.0)


class Place:
    """Hands in its result so long after it was begun; never, if that is inf."""

    def __init__(self, where: str, after_ms: float, result: OnDeviceError | None = None, **more: float) -> None:
        self.where, self.after_ms, self.more = where, after_ms, more
        self.result = result or answer(where, more.get("score", 0.6))
        # What it hands in before that: when, and of which accuracy, which is its score too.
        self.before: list[tuple[float, float]] = []
        self.begun: list[float] = []
        self.attempts: list[Any] = []

    def begin(self, task: Timed, options: object) -> Attempt:
        usual = CLOUD_TOP1 if self.where == "cloud" else DEVICE_TOP1
        attempt = Attempt(task, self.where, self.more.get("top1", usual))
        attempt.sent_bytes = 1000 if self.where == "cloud" else 0
        self.begun.append(task.elapsed_ms)
        self.attempts.append(attempt)
        loop = asyncio.get_running_loop()
        for after_ms, top1 in self.before:
            loop.call_later(after_ms / 1e3, partial(attempt.end, answer(self.where, top1), top1, last=False))
        if math.isfinite(self.after_ms):
            loop.call_later(self.after_ms / 1e3, partial(attempt.end, self.result, self.more.get("said")))
        return attempt


class Flown(NamedTuple):
    """What came of it: its answer, when, the flight, and what it told."""

    answer: Answer
    ms: float
    flight: Flight
    told: list[str]
    ending: Ending


def fly(cloud: Place | None, device: Place | None, at_ms: float = 0.0, sla_ms: float = 300.0, **more: Any) -> Flown:
    """A request that is sent where there is a cloud, and begun on the device at `at_ms`."""
    told: list[str] = []
    plan = Plan(cloud is not None, at_ms, "as planned", explore=more.pop("explore", False))
    options = FlightOptions(
        3.0, more.pop("patience_ms", 0.0), more.pop("confident", NEVER), lambda ms, what, detail: told.append(what)
    )
    return virtual_time.run(flown(sla_ms, plan, Executors(device, cloud), options, told))


async def flown(sla_ms: float, plan: Plan, executors: Executors, options: FlightOptions, told: list[str]) -> Flown:
    """Asked for as a client does, which takes the reserve when the last moment has come."""
    flight = Flight(task(sla_ms), plan, executors, options)
    running = asyncio.create_task(flight.run())
    await asyncio.wait([running], timeout=options.hand_over_ms(flight.task) / 1e3)
    reserve = None if running.done() else flight.task.reserve
    ms, ending = flight.task.elapsed_ms, await running
    assert reserve is None or reserve.result == ending.result
    if not isinstance(ending.result, Answer):
        raise ending.result
    return Flown(ending.result, ms if reserve else flight.task.elapsed_ms, flight, told, ending)


def test_the_clouds_answer_before_the_device_has_to_begin() -> None:
    cloud, device = Place("cloud", 20), Place("device", 5)
    done = fly(cloud, device, at_ms=250)
    assert (done.answer.where, done.answer.why, done.answer.sent_bytes) == ("cloud", "as planned", 1000)
    assert device.begun == []
    assert done.told == ["sent", "cloud answer", "answered"]


def test_the_device_begins_no_sooner_than_it_must_and_stands_in_for_a_late_cloud() -> None:
    cloud, device = Place("cloud", NEVER), Place("device", 20)
    done = fly(cloud, device, at_ms=200)
    assert (done.answer.where, done.answer.why) == ("device", "the cloud was late")
    assert device.begun == [200]
    assert done.ms == 297  # the cloud is waited for until then
    assert done.ending.failure
    assert done.ending.failure.failure == "late"
    assert cloud.attempts[0].cancelled
    assert done.told == ["sent", "device", "device answer", "answered"]


def test_the_clouds_answer_is_taken_while_the_devices_is_held() -> None:
    cloud, device = Place("cloud", 150), Place("device", 5)
    done = fly(cloud, device, at_ms=0, sla_ms=5000)
    assert done.answer.where == "cloud"
    assert done.flight.progress.device
    assert done.ms == 150


def test_the_device_begins_at_once_when_the_cloud_fails() -> None:
    cloud, device = Place("cloud", 5, WRONG), Place("device", 5)
    done = fly(cloud, device, at_ms=4000, sla_ms=5000)
    assert (done.answer.where, done.answer.why) == ("device", "the cloud failed: it answers 500")
    assert done.ms == 5 + 5
    assert done.ending.failure is WRONG
    assert done.told == ["sent", "failed", "device", "device answer", "answered"]


def test_an_answer_of_the_device_that_nothing_can_better_is_not_held() -> None:
    done = fly(Place("cloud", NEVER, top1=0.3), Place("device", 5), sla_ms=5000)
    assert (done.answer.where, done.ms) == ("device", 5)


def test_a_worse_answer_of_the_cloud_waits_for_the_device() -> None:
    done = fly(Place("cloud", 5, said=0.3), Place("device", 60), sla_ms=5000)
    assert (done.answer.where, done.answer.why) == ("device", "the device's answer is worth more")


@pytest.mark.parametrize(("score", "where"), [(0.95, "device"), (0.7, "cloud")])
def test_a_confident_device_ends_it(score: float, where: str) -> None:
    cloud, device = Place("cloud", 200), Place("device", 5, score=score)
    done = fly(cloud, device, at_ms=4000, sla_ms=5000, confident=0.9)
    assert done.answer.where == where
    assert (done.answer.why == "the device was confident") == (where == "device")
    assert done.ending.failure is None, "nobody waited for the cloud in vain"
    assert device.begun == [0]  # at once, and not as late as it could
    assert done.ms == (5 if where == "device" else 200)


def test_without_a_device_a_late_cloud_is_waited_for() -> None:
    done = fly(Place("cloud", 150), None, at_ms=NEVER, sla_ms=50, patience_ms=5000)
    assert (done.answer.where, done.ms) == ("cloud", 150)


def test_without_a_device_patience_ends() -> None:
    cloud = Place("cloud", NEVER)
    with pytest.raises(OffloadError, match="no answer in time; no model on the device") as caught:
        fly(cloud, None, at_ms=NEVER, sla_ms=50, patience_ms=50)
    assert caught.value.failure == "late"
    assert cloud.attempts[0].cancelled


def test_a_device_that_is_late_answers_late_when_nothing_else_does() -> None:
    done = fly(Place("cloud", NEVER), Place("device", 120), at_ms=0, sla_ms=60)
    assert (done.answer.where, done.ms) == ("device", 120)


def test_the_device_alone() -> None:
    done = fly(None, Place("device", 5))
    assert (done.answer.where, done.answer.sent_bytes, done.answer.why) == ("device", 0, "as planned")
    assert done.flight.progress.cloud is None
    assert done.told == ["device", "device answer", "answered"]


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
    done = fly(Place("cloud", 60), Place("device", 5, unreadable))
    assert done.answer.where == "cloud"


def test_exploring_does_not_give_the_reply_up() -> None:
    cloud, device = Place("cloud", NEVER), Place("device", 5)
    done = fly(cloud, device, sla_ms=60, explore=True)
    assert (done.answer.where, done.answer.why, done.ending.failure) == ("device", "as planned", None)
    assert not cloud.attempts[0].cancelled


# The cloud only after the device


UNSURE = Plan(True, 0.0, "unsure")


def first(cloud: Place, device: Place, then: Plan, sla_ms: float = 300.0) -> Flown:
    """A request that begins on the device alone, and goes on by `then` once that has come to something."""
    told: list[str] = []
    options = FlightOptions(3.0, 0.0, 0.9, lambda ms, what, detail: told.append(what), replan=lambda attempt: then)
    plan = Plan(False, 0.0, "device first")
    return virtual_time.run(flown(sla_ms, plan, Executors(device, cloud), options, told))


def test_what_the_device_is_sure_of_is_not_sent() -> None:
    cloud = Place("cloud", 5)
    done = first(cloud, Place("device", 5, score=0.95), Plan(False, 0.0, "sure"), sla_ms=5000)
    assert (done.answer.where, done.answer.why, done.answer.sent_bytes) == ("device", "sure", 0)
    assert (cloud.begun, done.flight.progress.cloud) == ([], None)
    assert done.told == ["device", "device answer", "answered"]


def test_the_cloud_is_asked_after_the_device_and_wins() -> None:
    cloud, device = Place("cloud", 5), Place("device", 50)
    done = first(cloud, device, UNSURE, sla_ms=5000)
    assert (done.answer.where, done.answer.why, done.answer.sent_bytes) == ("cloud", "unsure", 1000)
    assert cloud.begun == [50]
    assert done.told == ["device", "device answer", "sent", "cloud answer", "answered"]


def test_the_devices_answer_stands_in_for_a_cloud_that_is_late() -> None:
    cloud = Place("cloud", NEVER)
    done = first(cloud, Place("device", 5), UNSURE)
    assert (done.answer.where, done.answer.why) == ("device", "the cloud was late")
    assert done.ms == 297  # the cloud is waited for until then
    assert cloud.attempts[0].cancelled


def test_the_devices_answer_is_not_held_when_the_cloud_fails() -> None:
    device = Place("device", 5)
    done = first(Place("cloud", 5, WRONG), device, UNSURE, sla_ms=5000)
    assert (done.answer.where, done.answer.why) == ("device", "the cloud failed: it answers 500")
    assert done.ms == 5 + 5
    assert done.ending.failure is WRONG
    assert (len(device.begun), done.told[-2:]) == (1, ["failed", "answered"])


def test_a_worse_answer_of_the_cloud_is_not_taken() -> None:
    done = first(Place("cloud", 5, said=0.3), Place("device", 5), UNSURE, sla_ms=5000)
    assert (done.answer.where, done.answer.why) == ("device", "the device's answer is worth more")


def test_the_cloud_is_asked_where_the_device_fails() -> None:
    done = first(Place("cloud", 5), Place("device", 5, ModelError("broken", "m")), UNSURE, sla_ms=5000)
    assert done.answer.where == "cloud"
    assert done.told == ["device", "sent", "cloud answer", "answered"]


def test_the_devices_error_is_told_where_the_cloud_fails_too() -> None:
    cloud = Place("cloud", 5, WRONG)
    with pytest.raises(ModelError, match="broken"):
        first(cloud, Place("device", 5, ModelError("broken", "m")), UNSURE, sla_ms=5000)
    assert len(cloud.begun) == 1


def test_trying_after_the_device_does_not_give_the_reply_up() -> None:
    cloud, then = Place("cloud", NEVER), UNSURE._replace(explore=True)
    done = first(cloud, Place("device", 5), then, sla_ms=60)
    assert (done.ms, done.ending.held) == (57, True)
    assert (done.answer.where, done.answer.why, done.ending.failure) == ("device", "unsure", None)
    assert not cloud.attempts[0].cancelled


# Several answers of the cloud


def several(after_ms: float, *before: tuple[float, float]) -> Place:
    place = Place("cloud", after_ms)
    place.before = list(before)
    return place


def test_a_better_answer_is_waited_for_until_the_deadline() -> None:
    cloud = several(NEVER, (5, 0.4), (40, 0.5))
    done = fly(cloud, None)
    assert (done.answer.where, done.answer.score, done.answer.why) == ("cloud", 0.5, "as planned")
    assert (done.ms, done.ending.held) == (297, True)
    assert cloud.attempts[0].cancelled
    assert done.told == ["sent", "cloud answer", "cloud answer", "answered"]


def test_the_last_answer_ends_it() -> None:
    done = fly(several(60, (5, 0.4)), None, sla_ms=5000)
    assert (done.answer.score, done.ms) == (0.6, 60)
    assert done.told == ["sent", "cloud answer", "cloud answer", "answered"]


def test_the_device_does_not_begin_once_the_cloud_has_answered() -> None:
    device = Place("device", 5)
    done = fly(several(NEVER, (5, 0.6)), device, at_ms=100)
    assert (done.answer.where, device.begun) == ("cloud", [])


def test_an_answer_stands_though_the_cloud_fails_after_it() -> None:
    cloud, device = Place("cloud", 60, WRONG), Place("device", 5)
    cloud.before = [(5, 0.6)]
    done = fly(cloud, device, at_ms=4000, sla_ms=5000)
    assert (done.answer.where, done.ms, device.begun) == ("cloud", 60, [])
    assert done.ending.failure is WRONG


def test_of_device_and_cloud_the_best_counts_whatever_came_last() -> None:
    done = fly(several(NEVER, (60, 0.3)), Place("device", 5))
    assert done.answer.where == "device"
    done = fly(several(NEVER, (60, 0.7)), Place("device", 5))
    assert (done.answer.where, done.answer.score) == ("cloud", 0.7)


def test_an_answer_that_was_taken_is_told_with_its_own_time() -> None:
    told: list[tuple[float, str]] = []

    async def taken() -> None:
        options = FlightOptions(3.0, 0.0, NEVER, lambda ms, what, detail: told.append((ms, what)))
        places = Executors(Place("device", 5), Place("cloud", NEVER))
        flight = Flight(task(300), Plan(True, 0.0, "as planned"), places, options)
        running = asyncio.create_task(flight.run())
        await asyncio.sleep(0.2975)
        flight.task.late_ms = 0.5  # as a client says that takes the reserve
        await running

    virtual_time.run(taken())
    assert told[-1] == (297.5, "answered")


def test_whoever_does_not_come_for_the_reserve_is_not_waited_for() -> None:
    """Such as an event loop that is held up: the cloud's connection is not kept for it."""

    async def alone() -> tuple[float, bool]:
        cloud, options = Place("cloud", NEVER), FlightOptions(3.0, 0.0, NEVER, lambda ms, what, detail: None)
        flight = Flight(task(300), Plan(True, 0.0, "as planned"), Executors(Place("device", 5), cloud), options)
        await flight.run()
        return flight.task.elapsed_ms, cloud.attempts[0].cancelled

    assert virtual_time.run(alone()) == (317, True)
