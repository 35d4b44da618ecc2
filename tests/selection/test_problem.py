"""Models and requests: what they are made from, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ondevice.errors import UsageError
from ondevice.selection.problem import Models, Requests
from ondevice.timing.profile import Profile


def profiled(model: str, scale: float = 1.0) -> Profile:
    return Profile.of(model, [scale * value for value in range(1, 22)], "here", "litert 2.3.0", 1)


def test_models_of_profiles() -> None:
    models = Models.of({"b": 0.7, "a": 0.5, "unused": 0.9}, [profiled("a"), profiled("b", 2)])
    assert len(models) == 2
    assert models.names == ("a", "b")
    assert models.top1.tolist() == [0.5, 0.7]
    assert models.mean_ms.tolist() == pytest.approx([11, 22])
    assert models.std_ms[1] == pytest.approx(2 * models.std_ms[0])
    assert models.quantiles_ms.shape == (2, 21)
    assert models.times.cdf(np.array([[11.0, 11.0]])) == pytest.approx(np.array([[10 / 20, 4.5 / 20]]))


def damaged(**changes: Any) -> list[Profile]:
    return [profiled("a"), replace(profiled("b"), **changes)]


@pytest.mark.parametrize(
    ("top1", "profiles", "said"),
    [
        ({}, [], "at least one profile"),
        ({"a": 0.5}, [profiled("a"), profiled("b")], "b: its accuracy is not known"),
        ({"a": 0.5, "b": 71.0}, damaged(), "b: top1 is a fraction from 0 to 1, not 71"),
        ({"a": 0.5, "b": float("nan")}, damaged(), "b: top1 is a fraction"),
        ({"a": 0.5}, [profiled("a"), profiled("a")], "a: there are several profiles"),
        ({"a": 0.5, "b": 0.7}, damaged(mean_ms=float("inf")), "b: its profile has a time"),
        ({"a": 0.5, "b": 0.7}, damaged(std_ms=float("nan")), "b: its profile has a time"),
        ({"a": 0.5, "b": 0.7}, damaged(quantiles_ms=(-1.0,) * 21), "b: its profile has a time"),
        ({"a": 0.5, "b": 0.7}, damaged(quantiles_ms=(1.0,) * 20), "b: its profile needs 21 quantiles"),
        ({"a": 0.5, "b": 0.7}, damaged(quantiles_ms=(2.0,) + (1.0,) * 20), "b: its profile needs 21 quantiles"),
    ],
)
def test_what_no_policy_can_weigh_is_refused(top1: dict[str, float], profiles: list[Profile], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Models.of(top1, profiles)
    assert "\n" not in str(caught.value)


def test_other_times_have_other_distribution_functions() -> None:
    models = Models.of({"a": 0.5}, [profiled("a")])
    x_ms = np.array([[11.0]])
    assert models.times.cdf(x_ms)[0, 0] == pytest.approx(0.5)
    assert replace(models, quantiles_ms=2 * models.quantiles_ms).times.cdf(x_ms)[0, 0] == pytest.approx(4.5 / 20)


def test_the_budget_is_what_the_network_leaves() -> None:
    requests = Requests(np.array([200.0, 100.0]), np.array([30.0, 80.0]), np.array([20.0, 40.0]))
    assert len(requests) == 2
    assert requests.budget_ms.tolist() == [150.0, -20.0]


def test_one_request() -> None:
    request = Requests.one(100, upload_ms=30, return_ms=10, device_top1=0.4, wait_ms=np.array([1, 2]), reply_ms=7)
    assert len(request) == 1
    assert request.sla_ms.dtype == request.wait_ms.dtype == float
    assert request.budget_ms.tolist() == [60.0]
    assert (request.device_top1.tolist(), request.wait_ms.tolist()) == ([0.4], [[1.0, 2.0]])
    assert request.reply_ms is not None
    assert request.reply_ms.tolist() == [[7.0]]
    assert request.link_ms is None


def test_the_reply_takes_as_long_as_the_upload_unless_said() -> None:
    assert Requests.one(100, upload_ms=30).budget_ms.tolist() == [40.0]
    assert Requests.one(100, upload_ms=30, return_ms=0).budget_ms.tolist() == [70.0]


def test_a_row_of_another_name_is_refused() -> None:
    with pytest.raises(TypeError, match="wait_s"):
        Requests.one(100, wait_s=3)


def test_what_is_learned_of_one_model_leaves_the_others_and_what_was_read_before() -> None:
    models = Models.of({"a": 0.5, "b": 0.7}, [profiled("a"), profiled("b", 2)])
    learned = models.learned(1, profiled("b", 3).distribution)
    assert learned.mean_ms.tolist() == pytest.approx([11, 33])
    assert learned.quantiles_ms[:, -1].tolist() == [21, 63]
    assert models.mean_ms.tolist() == pytest.approx([11, 22])
    assert learned.times.cdf(np.array([[11.0, 33.0]])) == pytest.approx(np.array([[0.5, 0.5]]))
