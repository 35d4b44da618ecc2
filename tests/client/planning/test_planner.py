"""Where requests go, one after the other: what device and cloud are is given, and so is the clock."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import pytest
from clock import Clock
from good_endpoint import described
from one_upload import FILE, estimate

from ondevice.answer import Answer, Prediction
from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
from ondevice.client.executors import health
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.executors.health import CloudHealth
from ondevice.client.picture import Picture
from ondevice.client.planning import planner as planners
from ondevice.client.planning.plan import Mode, Plan
from ondevice.client.planning.planner import Planner
from ondevice.client.upload_choice import UploadEstimate
from ondevice.errors import FailureKind, ModelError, UpstreamError

SLA_MS, CONFIDENT = 200.0, 0.9
# The guard of a deadline like this before anything is known of waking up.
GUARD_MS = 5.0
WITHIN_MS = SLA_MS - GUARD_MS
# When a device of 60 ms begins, for which somebody has to wake up too.
BEGINS_MS = WITHIN_MS - 60 - GUARD_MS
TRIED, NOT_TRIED = ", tried all the same", ", not tried: too much of late has failed"


class Here:
    """In the place of the device, of one model."""

    top1, certain, waits_ms, longest_ms = 0.5, 1.0, 0.0, 60.0

    def __init__(self) -> None:
        self.models = (self,)

    def best(self, within_ms: float) -> int:
        return 0

    def wait_ms(self) -> float:
        return self.waits_ms

    def chance(self, within_ms: float) -> float:
        return self.certain if within_ms >= self.longest_ms else 0.0

    @property
    def worst_ms(self) -> float:
        return self.longest_ms


class There:
    """In the place of the cloud, and of all that leads to it. maintained, probed: how often."""

    def __init__(self, takes_ms: float = 50.0) -> None:
        self.link = self.discovery = self.network = self
        self.takes_ms, self.health, self.known = takes_ms, CloudHealth(), True
        self.endpoint: Any = CnnSelectEndpoint(described({"large": (0.9, 10.0)}))
        self.maintained = self.probed = 0

    @property
    def problem(self) -> UpstreamError | None:
        return self.health.problem

    def maintain(self) -> None:
        self.maintained += 1

    def probe(self) -> None:
        self.probed += 1

    def estimate(self, picture: Picture, within_ms: float, device_top1: float) -> UploadEstimate | None:
        if self.endpoint is None or not self.known:
            return None
        return estimate(self.endpoint, within_ms, np.full(21, self.takes_ms), 5.0, device_top1)

    def spend(self) -> None:
        """All of the budget."""
        for _ in range(10):
            self.health.budget.failed()

    def failed(self) -> None:
        """So that the breaker opens."""
        self.health.failed(UpstreamError("it refuses", FailureKind.REFUSED))

    def asked_for_a_pause(self) -> None:
        self.health.failed(UpstreamError("no", FailureKind.BUSY, 300.0), SLA_MS)


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    for module in (planners, health):
        monkeypatch.setattr(module, "perf_counter", made)
    return made


def planner(mode: Mode, here: Here | None, there: There | None) -> Planner:
    return Planner(mode, CONFIDENT, cast(Any, here), cast(Any, there))


class Standing(Task):
    """Of which so much has passed."""

    passed_ms = 0.0

    @property
    def elapsed_ms(self) -> float:
        return self.passed_ms


def task(sla_ms: float = SLA_MS, passed_ms: float = 0.0) -> Standing:
    made = Standing(Picture(b""), sla_ms, 5)
    made.passed_ms = passed_ms
    return made


def planned(mode: Mode, here: Here | None, there: There | None) -> Plan:
    return planner(mode, here, there).plan(task(), 0)


AWAY = [Mode.HEDGE, Mode.AUTO, Mode.CASCADE]


# Before anything has begun


def test_device_mode_asks_nobody() -> None:
    there = There()
    assert planned(Mode.DEVICE, Here(), there) == Plan(False, 0.0, "device only")
    assert there.maintained == 0


def test_cloud_mode_and_who_has_no_device_send_whatever_has_happened() -> None:
    for mode in (Mode.CLOUD, *AWAY):
        there = There()
        there.failed()
        there.asked_for_a_pause()
        there.spend()
        assert planned(mode, None, there) == Plan(True, math.inf, "cloud only", upload=FILE)
        assert there.maintained == 1


def test_hedging_sends_whatever_is_expected_and_spent() -> None:
    for there in (There(), There(takes_ms=1000)):
        there.spend()
        assert planned(Mode.HEDGE, Here(), there) == Plan(True, BEGINS_MS, "hedged", upload=FILE)


@pytest.mark.parametrize("mode", AWAY)
def test_an_open_breaker_leaves_it_to_the_device_and_has_a_probe_seen_to(mode: Mode) -> None:
    there = There()
    there.failed()
    assert planned(mode, Here(), there) == Plan(False, 0.0, "the cloud fails: it refuses")
    assert there.maintained == 1


@pytest.mark.parametrize("mode", AWAY)
def test_who_is_held_back_is_left_to_the_device(mode: Mode, clock: Clock) -> None:
    there = There()
    there.asked_for_a_pause()
    clock.pass_ms(100)
    assert planned(mode, Here(), there) == Plan(False, 0.0, "the cloud asked not to be asked for another 200 ms")
    clock.pass_ms(200)
    assert "asked not to be" not in planned(mode, Here(), there).why


def test_auto_sends_what_promises_more() -> None:
    there = There()
    there.spend()  # which is for what is sent besides
    expected = Plan(True, BEGINS_MS, "cloud expected: 0.900 against 0.500", upload=FILE)
    assert planned(Mode.AUTO, Here(), there) == expected
    busy = Here()
    busy.waits_ms = 40.0
    assert planned(Mode.AUTO, busy, There()) == expected._replace(device_at_ms=BEGINS_MS - 40)


@pytest.mark.parametrize("mode", [Mode.AUTO, Mode.CASCADE])
@pytest.mark.parametrize("what", ["endpoint", "network"])
def test_what_is_not_known_is_asked_and_the_budget_is_not(mode: Mode, what: str) -> None:
    there, unsure = There(), Here()
    unsure.certain = 0.5  # else `cascade` does not ask before it has run
    there.spend()
    if what == "endpoint":
        there.endpoint = None
    else:
        there.known = False
    assert planned(mode, unsure, there) == Plan(True, BEGINS_MS, "the cloud is not known yet")


def test_cascade_begins_with_a_device_that_is_sure_to_be_in_time() -> None:
    assert planned(Mode.CASCADE, Here(), There()) == Plan(False, 0.0, "device first")


def test_cascade_is_as_auto_where_the_device_is_not() -> None:
    late = Here()
    late.longest_ms = 1000.0
    expected = Plan(True, WITHIN_MS, "cloud expected: 0.900 against 0.000", upload=FILE)
    assert planned(Mode.CASCADE, late, There()) == planned(Mode.AUTO, late, There()) == expected


# Exploring


def test_exploring_comes_after_one_two_four_and_at_most_eight_seconds(clock: Clock) -> None:
    there, found = There(takes_ms=1000), []
    of_it = planner(Mode.AUTO, Here(), there)
    for second in range(32):
        plan = of_it.plan(task(), 0)
        assert plan.explore == plan.send
        if plan.explore:
            found.append(second)
            assert plan == Plan(True, 0.0, f"device expected: 0.500, cloud 0.500{TRIED}", explore=True, upload=FILE)
        clock.pass_ms(1000)
    assert found == [0, 1, 3, 7, 15, 23, 31]
    assert there.probed == 0


def test_exploring_needs_the_budget_and_a_probe_goes_in_its_place(clock: Clock) -> None:
    there = There(takes_ms=1000)
    of_it = planner(Mode.AUTO, Here(), there)
    there.spend()
    for second in range(8):
        plan = of_it.plan(task(), 0)
        tried = second in (0, 1, 3, 7)  # as often as it would have been sent
        said = f"device expected: 0.500, cloud 0.500{NOT_TRIED if tried else ''}"
        assert plan == Plan(False, 0.0, said)
        clock.pass_ms(1000)
    assert there.probed == 4


def test_half_of_the_budget_is_too_little_and_a_little_more_is_not() -> None:
    for answers, explore in ((0, False), (1, True)):
        there = There(takes_ms=1000)
        for _ in range(5):
            there.health.budget.failed()
        for _ in range(answers):
            there.health.budget.succeeded()
        assert planned(Mode.AUTO, Here(), there).explore == explore
        assert there.probed == (not explore)


# Once the device has a result


def after(there: There, score: float | None = 0.4, passed_ms: float = 60.0, of_it: Planner | None = None) -> Plan:
    """What `cascade` plans for an answer with this score; None: the device has failed."""
    attempt = Attempt(task(passed_ms=passed_ms), "device", 0.5)
    made = Answer((Prediction(1, "a", score or 0.0),), "m", "r", 1, 0.0, 0.0, 0.0)
    attempt.result = ModelError("it is broken", "m") if score is None else made
    return (of_it or planner(Mode.CASCADE, Here(), there)).after_device(attempt)


def test_a_confident_device_ends_it_whatever_the_cloud_promises() -> None:
    there = There()
    assert after(there, CONFIDENT) == Plan(False, 0.0, "the device was confident: 0.900")
    there.failed()
    assert after(there, 0.95) == Plan(False, 0.0, "the device was confident: 0.950")


def test_an_unsure_one_is_asked_about_where_it_is_worth_it() -> None:
    there = There()
    there.spend()
    expected = "the device was unsure: 0.400; cloud expected: 0.900 against 0.500"
    assert after(there) == Plan(True, 0.0, expected, upload=FILE)


def test_not_where_too_little_time_is_left() -> None:
    unsure = "the device was unsure: 0.400; "
    there = There()
    of_it = planner(Mode.CASCADE, Here(), there)
    of_it._exploration.planned(Plan(True, 0.0, "", explore=True), planners.perf_counter())  # not due again
    said = after(there, passed_ms=WITHIN_MS - 55, of_it=of_it)
    assert said == Plan(False, 0.0, unsure + "device expected: 0.500, cloud 0.500")
    assert after(there, passed_ms=WITHIN_MS) == Plan(False, 0.0, unsure + "no time is left")


def test_an_unsure_one_is_asked_about_where_nothing_is_known() -> None:
    there = There()
    there.known = False
    there.spend()
    assert after(there) == Plan(True, 0.0, "the device was unsure: 0.400; the cloud is not known yet")


@pytest.mark.parametrize("score", [0.4, None])
def test_nothing_is_asked_of_a_cloud_that_fails_or_wants_nobody(score: float | None) -> None:
    failing, busy = There(), There()
    failing.failed()
    busy.asked_for_a_pause()
    assert after(failing, score) == Plan(False, 0.0, "the cloud fails: it refuses")
    assert after(busy, score) == Plan(False, 0.0, "the cloud asked not to be asked for another 300 ms")


def test_a_device_that_fails_leaves_the_cloud() -> None:
    there = There(takes_ms=1000)
    there.spend()
    assert after(there, None) == Plan(True, math.inf, "the device failed: it is broken")


def test_exploring_after_the_device_needs_the_budget_too() -> None:
    expected = "the device was unsure: 0.400; device expected: 0.500, cloud 0.500"
    there = There(takes_ms=1000)
    assert after(there) == Plan(True, 0.0, expected + TRIED, explore=True, upload=FILE)
    assert there.probed == 0
    there.spend()
    assert after(there) == Plan(False, 0.0, expected + NOT_TRIED)
    assert there.probed == 1


# The guard


def test_the_guard_follows_who_woke_late_up_to_a_share_of_the_deadline() -> None:
    of_it = planner(Mode.HEDGE, Here(), There())
    assert of_it.guard_ms(task()) == 5.0
    of_it.overslept(6.0)
    assert of_it.guard_ms(task()) == 8.0
    of_it.overslept(60.0)
    assert of_it.guard_ms(task()) == 16.0, "8 % of 200 ms"
    assert of_it.guard_ms(task(sla_ms=40.0)) == 3.2
