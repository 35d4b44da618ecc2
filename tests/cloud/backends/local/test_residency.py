"""Which models stay in memory under a budget."""

from __future__ import annotations

from ondevice.cloud.backends.local.residency import Residency

SIZES = {"small": 10, "middle": 30, "large": 60}


def residency(budget: int | None, *resident: str) -> Residency:
    made = Residency(SIZES, budget)
    made.resident |= set(resident)
    return made


def test_without_a_budget_nobody_goes() -> None:
    assert residency(None, "small", "middle").victims("large") == []


def test_what_fits_needs_no_victim() -> None:
    assert residency(100, "small", "middle").victims("large") == []


def test_the_least_wanted_goes_first() -> None:
    made = residency(70, "small", "middle")
    for _ in range(5):
        made.record_demand("middle")
    made.record_demand("small")
    assert made.victims("large") == ["small", "middle"]
    made = residency(95, "small", "middle")
    made.record_demand("middle")
    assert made.victims("large") == ["small"]


def test_of_equals_the_largest_goes() -> None:
    assert residency(70, "small", "middle").victims("large") == ["middle"]


def test_what_is_kept_stays() -> None:
    assert residency(75, "small", "middle").victims("large", keep={"small"}) == ["middle"]
    assert residency(65, "small", "middle").victims("large", keep={"small"}) is None


def test_what_never_fits_has_no_victims() -> None:
    assert residency(50, "small").victims("large") is None


def test_a_cold_model_is_swapped_in_when_it_is_clearly_wanted() -> None:
    made = residency(70, "small", "middle")
    for _ in range(4):
        made.record_demand("middle")
    for _ in range(5):
        made.record_demand("large")
    assert made.swap(keep={"small"}, allowed=SIZES) is None
    for _ in range(5):
        made.record_demand("large")
    assert made.swap(keep={"small"}, allowed=SIZES) == ("large", ["middle"])
    assert made.swap(keep={"small"}, allowed=["small", "middle"]) is None


def test_a_few_wants_are_not_enough() -> None:
    made = residency(70, "small")
    made.record_demand("large")
    assert made.swap(keep=(), allowed=SIZES) is None


def test_old_wants_fade() -> None:
    made = residency(70, "small", "middle")
    for _ in range(100):
        made.record_demand("middle")
    for _ in range(300):
        made.record_demand("large")
    assert made.swap(keep={"small"}, allowed=SIZES) == ("large", ["middle"])
    assert made.used_bytes == 40
