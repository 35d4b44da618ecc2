"""Fitting: exact where the data are, borrowing where they are few, and never seeing what is left out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ondevice.devices import fitting
from ondevice.devices.fitting import Published, least_squares
from ondevice.devices.network import Workload
from ondevice.devices.timemodel import TimeModel
from ondevice.timing.arrays import FloatArray

RNG = np.random.default_rng(0)
# Networks whose kinds of work do not rise together, as real ones' do not.
WORK = tuple(Workload(*row) for row in (10 ** RNG.uniform([8, 5, 6, 5, 1], [10, 6.5, 7.5, 7.5, 2.5], (24, 5))).tolist())
NAMES = tuple(f"architecture {i % 8}" for i in range(24))
PHONE = TimeModel(2, 30, 1, 0.5, 2, 0.05)


def published(model: TimeModel, work: tuple[Workload, ...] = WORK, names: tuple[str, ...] = NAMES) -> Published:
    return Published(work, tuple(model(each) for each in work), names[: len(work)])


def faster(model: TimeModel, by: float, overhead_ms: float) -> TimeModel:
    return TimeModel(overhead_ms, *(figure / by for figure in model[1:]))


def borrowed() -> FloatArray:
    return fitting.proportions([published(faster(PHONE, by, ms)) for by, ms in ((1, 2), (4, 0.1), (0.2, 30))])


def test_the_proportions_are_the_lenders_whatever_their_speed_and_overhead() -> None:
    assert borrowed() == pytest.approx(np.array(PHONE[1:]) / PHONE[1], rel=1e-3)


def test_a_device_like_the_lenders_is_found_again() -> None:
    other = faster(PHONE, 3, 5)
    assert fitting.fit(published(other), borrowed()) == pytest.approx(other, rel=1e-3)


def test_three_networks_tell_speed_and_overhead_where_the_proportions_are_borrowed() -> None:
    other = faster(PHONE, 3, 5)
    fit = fitting.fit(published(other, WORK[:3]), borrowed())
    assert [fit(work) for work in WORK[3:]] == pytest.approx([other(work) for work in WORK[3:]], rel=0.01)


def test_one_network_tells_the_speed() -> None:
    fit = fitting.fit(published(faster(PHONE, 3, 0), WORK[:1]), borrowed())
    assert fit.overhead_ms == 0
    assert fit(WORK[5]) == pytest.approx(PHONE(WORK[5]) / 3, rel=0.3)


def test_a_device_that_differs_leaves_the_borrowed_proportions_where_its_networks_tell() -> None:
    odd = TimeModel(1, 30, 1, 0.5, 9, 0.05)
    fit = fitting.fit(published(odd), borrowed())
    assert [fit(work) for work in WORK] == pytest.approx([odd(work) for work in WORK], rel=0.05)


def test_what_costs_the_lenders_nothing_may_cost_here() -> None:
    free = np.array([1, 0, 0.02, 0.07, 0.002])
    fit = fitting.fit(published(PHONE._replace(per_m_picture_outputs_ms=20)), free)
    assert fit.per_m_picture_outputs_ms > 10


def test_left_out_never_sees_what_it_predicts() -> None:
    honest, names = published(PHONE), list(range(24))
    other = Published(honest.work, (honest.ms[0] * 3, *honest.ms[1:]), honest.architectures)
    assert fitting.left_out(honest, borrowed(), names)[0] == pytest.approx(0, abs=1e-3)
    assert fitting.left_out(other, borrowed(), names)[0] == pytest.approx(1 / 3 - 1, abs=1e-3)


def test_groups_are_left_out_whole() -> None:
    honest = published(PHONE)
    wrong = tuple(ms * (3 if name == NAMES[0] else 1) for ms, name in zip(honest.ms, NAMES, strict=True))
    errors = fitting.left_out(honest._replace(ms=wrong), borrowed(), NAMES)
    assert errors[[name == NAMES[0] for name in NAMES]] == pytest.approx(1 / 3 - 1, abs=1e-3)


def test_where_nothing_is_left_nothing_is_said() -> None:
    assert np.isnan(fitting.left_out(published(PHONE), borrowed(), ["all"] * 24)).all()


def test_few_architectures_do_not_lend() -> None:
    assert published(PHONE).lends
    assert not published(PHONE, names=("one", "two") * 12).lends
    with pytest.raises(ValueError, match="no device has architectures enough"):
        fitting.proportions([])


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 6))
def test_least_squares_is_never_negative_and_no_nudge_is_better(seed: int, columns: int) -> None:
    rng = np.random.default_rng(seed)
    matrix, target = rng.normal(size=(8, columns)), rng.normal(size=8)
    found = least_squares(matrix, target)
    assert (found >= 0).all()
    least = np.sum((matrix @ found - target) ** 2)
    for column in range(columns):
        for nudge in (1e-4, -1e-4):
            other = found.copy()
            other[column] = max(0.0, other[column] + nudge)
            assert np.sum((matrix @ other - target) ** 2) >= least - 1e-9
