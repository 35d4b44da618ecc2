"""The decision: the device alone or the cloud with the device in reserve, on cases that are made."""

from __future__ import annotations

import math

import numpy as np
import pytest
from good_endpoint import described
from one_upload import FILE, estimate

from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
from ondevice.client.planning.plan import MIN_GAIN_TOP1, DeviceEstimate, Mode, Plan, auto, cascade, fixed
from ondevice.client.upload_choice import UploadEstimate
from ondevice.timing.arrays import FloatArray

DEVICE = DeviceEstimate(top1=0.5, chance=1.0, latest_ms=120.0)
MODELS = {"small": (0.6, 10.0), "large": (0.9, 60.0)}


def there(
    overhead_ms: float | FloatArray,
    within_ms: float = 200.0,
    models: dict[str, tuple[float, float]] = MODELS,
    device: DeviceEstimate = DEVICE,
) -> UploadEstimate:
    times_ms = np.broadcast_to(overhead_ms, (20,)) if np.ndim(overhead_ms) == 0 else np.asarray(overhead_ms)
    return estimate(CnnSelectEndpoint(described(models)), within_ms, times_ms, 5.0, device.effective_top1)


def test_a_good_network_is_used_with_the_device_in_reserve() -> None:
    plan = auto(DEVICE, there(50), exploring=False)
    assert plan == Plan(True, 120.0, "cloud expected: 0.900 against 0.500", upload=FILE)


def test_a_slower_one_for_the_small_model_too() -> None:
    assert auto(DEVICE, there(170), exploring=False).why == "cloud expected: 0.600 against 0.500"


@pytest.mark.parametrize("overhead_ms", [199.0, 250.0, 1e6])
def test_a_network_that_is_too_slow_is_not_asked(overhead_ms: float) -> None:
    plan = auto(DEVICE, there(overhead_ms), exploring=False)
    assert plan == Plan(False, 0.0, "device expected: 0.500, cloud 0.500")


def test_a_network_that_is_in_time_now_and_then_may_still_be_worth_it() -> None:
    mixed = there(np.where(np.arange(21) < 7, 50.0, 500.0))
    plan = auto(DEVICE, mixed, exploring=False)
    assert (plan.send, plan.why) == (True, f"cloud expected: {0.5 + 0.4 / 3:.3f} against 0.500")


def test_a_device_as_good_as_the_cloud_answers_alone() -> None:
    good = DeviceEstimate(0.9, 1.0, 120.0)
    assert not auto(good, there(50, device=good), exploring=False).send


def test_a_device_that_may_be_late_is_worth_less() -> None:
    late = DeviceEstimate(0.9, 0.5, 0.0)
    assert late.effective_top1 == pytest.approx(0.45)
    assert auto(late, there(50, device=late), exploring=False) == Plan(
        True, 0.0, "cloud expected: 0.900 against 0.450", upload=FILE
    )


def test_what_the_reserve_may_miss_is_not_counted_on() -> None:
    device = DeviceEstimate(0.8, 0.5, 0.0)
    plan = auto(device, there(np.where(np.arange(20) < 10, 50.0, 500.0), device=device), exploring=False)
    assert plan.why == "cloud expected: 0.650 against 0.400", "half 0.9, and half of what the device is worth"


def test_the_cloud_must_be_worth_a_little_more() -> None:
    for top1, send in ((0.5 + 0.9 * MIN_GAIN_TOP1, False), (0.5 + 1.1 * MIN_GAIN_TOP1, True)):
        assert auto(DEVICE, there(50, models={"only": (top1, 10.0)}), exploring=False).send == send


def test_while_nothing_is_known_both_are_asked() -> None:
    for exploring in (False, True):
        assert auto(DEVICE, None, exploring) == Plan(True, 120.0, "the cloud is not known yet")


def test_exploring_sends_what_is_not_worth_it_and_starts_the_device_at_once() -> None:
    plan = auto(DEVICE, there(250), exploring=True)
    assert plan == Plan(True, 0.0, "device expected: 0.500, cloud 0.500, tried all the same", explore=True, upload=FILE)


def test_exploring_changes_nothing_where_the_cloud_is_asked_anyway() -> None:
    assert auto(DEVICE, there(50), exploring=True) == auto(DEVICE, there(50), exploring=False)
    assert not auto(DEVICE, there(50), exploring=True).explore


# After the device's answer


ANSWERED = DeviceEstimate(top1=0.5, chance=1.0, latest_ms=0.0)


def test_an_unsure_answer_is_worth_asking_where_the_time_left_suffices() -> None:
    plan = cascade(0.412, 100.0, ANSWERED, there(30, within_ms=100), exploring=False)
    assert plan == Plan(True, 0.0, "the device was unsure: 0.412; cloud expected: 0.900 against 0.500", upload=FILE)


def test_what_counts_is_the_time_left_and_not_the_deadline() -> None:
    plan = cascade(0.412, 100.0, ANSWERED, there(120, within_ms=100), exploring=False)
    assert plan == Plan(False, 0.0, "the device was unsure: 0.412; device expected: 0.500, cloud 0.500")


def test_an_unsure_answer_as_good_as_the_clouds_stands() -> None:
    good = DeviceEstimate(0.9, 1.0, 0.0)
    assert not cascade(0.4, 100.0, good, there(30, within_ms=100, device=good), exploring=False).send


def test_a_cloud_that_is_not_known_is_asked_of_an_unsure_answer() -> None:
    plan = cascade(0.4, 100.0, ANSWERED, None, exploring=False)
    assert plan == Plan(True, 0.0, "the device was unsure: 0.400; the cloud is not known yet")


@pytest.mark.parametrize("left_ms", [0.0, -5.0])
@pytest.mark.parametrize("exploring", [False, True])
@pytest.mark.parametrize("known", [False, True])
def test_without_time_left_nothing_is_sent_nor_tried(left_ms: float, exploring: bool, known: bool) -> None:
    plan = cascade(0.4, left_ms, ANSWERED, there(30, within_ms=left_ms) if known else None, exploring)
    assert plan == Plan(False, 0.0, "the device was unsure: 0.400; no time is left")


def test_exploring_tries_a_cloud_that_is_not_worth_it() -> None:
    plan = cascade(0.4, 100.0, ANSWERED, there(250, within_ms=100), exploring=True)
    assert (plan.send, plan.explore) == (True, True)
    assert plan.why.endswith("cloud 0.500, tried all the same")


# Modes


@pytest.mark.parametrize("here", [DEVICE, None])
def test_modes_that_decide_nothing(here: DeviceEstimate | None) -> None:
    assert fixed(Mode.DEVICE, here) == Plan(False, 0.0, "device only")
    assert fixed(Mode.CLOUD, here) == Plan(True, math.inf, "cloud only")


def test_hedging_holds_the_device_back_as_long_as_can_be() -> None:
    assert fixed(Mode.HEDGE, DEVICE) == Plan(True, 120.0, "hedged")


@pytest.mark.parametrize("mode", [Mode.HEDGE, Mode.AUTO, Mode.CASCADE])
def test_without_a_model_on_the_device_there_is_only_the_cloud(mode: Mode) -> None:
    assert fixed(mode, None) == Plan(True, math.inf, "cloud only")


def test_modes_by_name() -> None:
    assert [str(mode) for mode in Mode] == ["device", "cloud", "hedge", "auto", "cascade"]
    assert Mode("auto") is Mode.AUTO
