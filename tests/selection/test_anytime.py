"""Sets of models for one request: which there are, what they bring by hand and by drawing, and what they cost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest
from model_sets import normal, zoo

from ondevice.errors import UsageError
from ondevice.selection.anytime import Chains, choose, largest
from ondevice.selection.ontime import on_time
from ondevice.selection.policies import effective, mdinference, oracle
from ondevice.selection.problem import Models, Requests
from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import LEVELS


def uniform(*rows: tuple[float, float, float]) -> Models:
    """Models of (top1, shortest, longest), all times between equally likely."""
    top1, low, high = np.array(rows, float).T
    quantiles_ms = low[:, None] + (high - low)[:, None] * LEVELS
    return Models(tuple(map(str, range(len(rows)))), top1, (low + high) / 2, (high - low) / 12**0.5, quantiles_ms)


# Slower and better, the better ones first.
MODELS = normal((0.8, 40, 0), (0.5, 10, 0), (0.7, 20, 0))
PAIRS, IN_TURN = Chains.of(MODELS), Chains.of(MODELS, side_by_side=False)


def taken(request: Requests, chains: Chains = PAIRS, models: Models = MODELS, **settings: float) -> tuple[int, ...]:
    return chains[int(choose(models, request, chains, **settings)[0])]


def test_the_sets_by_hand() -> None:
    assert [PAIRS[row] for row in range(len(PAIRS))] == [(1,), (2,), (0,), (1, 2), (1, 0), (2, 0)]
    assert [PAIRS.cost_ms(MODELS)[row] for row in (0, 3, 5)] == pytest.approx([10, 30, 60])
    assert len(Chains.of(MODELS, 1)) == 3
    assert len(Chains.of(MODELS, 3)) == len(Chains.of(MODELS, 9)) == 7
    assert Chains.of(MODELS, 3)[6] == (1, 2, 0)


def test_of_equally_accurate_models_the_faster_stands_last() -> None:
    models = normal((0.7, 10, 0), (0.7, 20, 0))
    assert Chains.of(models)[2] == (1, 0)
    assert taken(Requests.one(100), Chains.of(models), models) == (0,)


def test_too_many_sets_are_refused() -> None:
    many = normal(*((0.5, 10, 0) for _ in range(40)))
    assert len(Chains.of(many, 2)) == 40 + 780
    with pytest.raises(UsageError, match="40 models have more than 5000 sets of up to 3; allow fewer"):
        Chains.of(many, 3)
    with pytest.raises(UsageError, match="at least one model must answer, not 0"):
        Chains.of(many, 0)


@pytest.mark.parametrize(
    ("chains", "expected"),
    [
        # Of the replies at 0, 10, 20, 30 ms: within 45 ms all beside 10, three beside 20 and one beside 40.
        (PAIRS, [0.5, 0.7 * 3 / 4, 0.8 / 4, 0.5 + 0.2 * 3 / 4, 0.5 + 0.3 / 4, 0.7 * 3 / 4 + 0.1 / 4]),
        # In turn: two beside 10 + 20, none beside 10 + 40.
        (IN_TURN, [0.5, 0.7 * 3 / 4, 0.8 / 4, 0.5 + 0.2 * 2 / 4, 0.5, 0.7 * 3 / 4]),
    ],
)
def test_gains_by_hand(chains: Chains, expected: list[float]) -> None:
    request = Requests.one(45, reply_ms=[0, 10, 20, 30])
    assert chains.gains(MODELS, request)[0] == pytest.approx(expected)


def test_gains_are_what_is_above_the_device() -> None:
    request = Requests.one(45, device_top1=0.6, reply_ms=[0, 10, 20, 30])
    expected = [0, 0.1 * 3 / 4, 0.2 / 4, 0.1 * 3 / 4, 0.2 / 4, 0.1 * 3 / 4 + 0.1 / 4]
    assert PAIRS.gains(MODELS, request)[0] == pytest.approx(expected)


def test_a_set_waits_for_the_longest_wait_of_its_models() -> None:
    request = Requests.one(45, wait_ms=[0, 0, 16], reply_ms=[0, 10, 20, 30])
    assert PAIRS.gains(MODELS, request)[0, 3] == pytest.approx(0.5 + 0.2 / 4)
    assert IN_TURN.gains(MODELS, request)[0, 3] == pytest.approx(0.5)
    cold = Requests.one(45, wait_ms=[0, 16, 0], reply_ms=[0, 10, 20, 30])
    assert IN_TURN.gains(MODELS, cold)[0, [0, 1, 3]] == pytest.approx([0.5 * 2 / 4, 0.7 * 3 / 4, 0.5 * 2 / 4])


def test_a_cheap_model_beside_a_good_one_where_the_reply_is_not_sure() -> None:
    assert taken(Requests.one(45, reply_ms=[0, 30])) == (1, 0)
    assert taken(Requests.one(45, reply_ms=[0, 0])) == (0,)
    assert taken(Requests.one(45, reply_ms=[30, 30])) == (1,)
    assert taken(Requests.one(52, reply_ms=[0, 35]), IN_TURN) == (1, 0)
    assert taken(Requests.one(45, reply_ms=[0, 30]), IN_TURN) == (1, 2)


def test_a_price_that_is_not_worth_it() -> None:
    # 0.5 for 10 ms, 0.6 for 30 ms, 0.65 for 50 ms: 0.2 and then 0.1 for as much as the best model takes, 40 ms.
    request = Requests.one(45, reply_ms=[0, 30])
    bought = [taken(request, price_top1=price) for price in (0.09, 0.11, 0.19, 0.21)]
    assert bought == [(1, 0), (1, 2), (1, 2), (1,)]


def test_where_nothing_is_gained_it_is_the_cheapest() -> None:
    for price in (0.0, 0.01):
        assert taken(Requests.one(45, device_top1=0.9), price_top1=price) == (1,)
        assert taken(Requests.one(-5), IN_TURN, price_top1=price) == (1,)


def problem(seed: int, n: int = 60, m: int = 6) -> tuple[Models, Requests]:
    """Drawn models, the slower the better, and requests some of which leave no time and some plenty."""
    rng = np.random.default_rng(seed)
    top1, mean_ms = np.sort(rng.uniform(0, 1, m)), np.sort(rng.uniform(1, 60, m))
    models = normal(*zip(top1, mean_ms, rng.uniform(0.1, 5, m), strict=True))
    requests = Requests(
        rng.uniform(20, 150, n), rng.uniform(0, 20, n), rng.uniform(0, 20, n), rng.uniform(0, 20, (n, m)),
        rng.uniform(0, 1, n), rng.uniform(0, 60, (n, 7)),
    )  # fmt: skip
    return models, requests


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("side_by_side", [True, False])
def test_sets_of_one_are_the_choice_of_effective(seed: int, side_by_side: bool) -> None:
    models, requests = problem(seed)
    chains = Chains.of(models, 1, side_by_side)
    chosen = chains.members[choose(models, requests, chains, 0.0), 0]
    single = effective(models, requests)
    useful = chains.gains(models, requests).max(axis=1) > 1e-6
    assert useful.sum() > 20
    assert (single[useful, chosen[useful]] == 1).all()
    assert chains.chances(models, requests) == pytest.approx(on_time(models, requests)[:, chains.members[:, 0]])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("side_by_side", [True, False])
def test_more_models_gain_no_less_and_a_higher_price_buys_no_more(seed: int, side_by_side: bool) -> None:
    models, requests = problem(seed)
    gains = [Chains.of(models, most, side_by_side).gains(models, requests).max(axis=1) for most in (1, 2, 3)]
    assert (gains[1] >= gains[0] - 1e-12).all()
    assert (gains[2] >= gains[1] - 1e-12).all()
    assert gains[1].sum() > gains[0].sum() + 1e-3
    chains = Chains.of(models, 3, side_by_side)
    costs = [chains.cost_ms(models)[choose(models, requests, chains, price)] for price in (0, 0.01, 0.1, 1)]
    assert (np.diff(costs, axis=0) <= 1e-9).all()
    assert costs[3].sum() < costs[0].sum()


@pytest.mark.parametrize("side_by_side", [True, False])
def test_gains_are_what_drawing_gives(side_by_side: bool) -> None:
    # No time of a better model is ever shorter than one of a worse; so the sums are exact side by side.
    models = uniform((0.5, 5, 10), (0.7, 15, 30), (0.9, 40, 60))
    reply_ms = np.array([3.0, 8, 14, 25, 60])
    chains = Chains.of(models, 3, side_by_side)
    gains = chains.gains(models, Requests.one(90, upload_ms=20, device_top1=0.4, reply_ms=reply_ms))[0]
    rng = np.random.default_rng(0)
    times_ms = rng.uniform(models.quantiles_ms[:, 0], models.quantiles_ms[:, -1], (100_000, 3))
    reply = rng.choice(reply_ms, 100_000)
    for row in range(len(chains)):
        answers = effective_accuracy(models, chains[row], times_ms, 70 - reply, side_by_side)
        assert gains[row] == pytest.approx(answers.mean() - 0.4, abs=0.005 if side_by_side else 0.02)


def effective_accuracy(
    models: Models, chain: tuple[int, ...], times_ms: FloatArray, left_ms: FloatArray, beside: bool
) -> FloatArray:
    """[n]: the accuracy of the best answer that is ready within left_ms [n], 0.4 where there is none."""
    best, ready_ms = np.full(len(left_ms), 0.4), np.zeros(len(left_ms))
    for model in chain:
        ready_ms = times_ms[:, model] + (0 if beside else ready_ms)
        best = np.where(ready_ms <= left_ms, np.maximum(best, models.top1[model]), best)
    return best


@pytest.mark.parametrize("side_by_side", [True, False])
def test_each_request_for_itself_whatever_the_order_of_the_models(side_by_side: bool) -> None:
    models, requests = problem(0)
    chains = Chains.of(models, 2, side_by_side)
    gains = chains.gains(models, requests)
    for row in (0, 17):
        one = replace(requests, **{name: value[[row]] for name, value in vars(requests).items() if value is not None})
        assert chains.gains(models, one)[0] == pytest.approx(gains[row])
    order = np.random.default_rng(0).permutation(6)
    moved = Models(
        models.names, models.top1[order], models.mean_ms[order], models.std_ms[order], models.quantiles_ms[order]
    )
    elsewhere = replace(requests, wait_ms=requests.wait_ms[:, order])
    assert Chains.of(moved, 2, side_by_side).gains(moved, elsewhere) == pytest.approx(gains)


def test_no_requests_and_one_model() -> None:
    none: Any = Requests(*np.zeros((3, 0)))
    assert choose(MODELS, none, PAIRS).shape == (0,)
    alone = normal((0.5, 10, 1))
    assert taken(Requests.one(5), Chains.of(alone), alone) == (0,)


@pytest.mark.parametrize("sla_ms", [100, 150, 200])
def test_two_side_by_side_close_most_of_the_gap_at_less_than_twice_the_server_time(data: Path, sla_ms: float) -> None:
    """Independent lognormal legs of 46 ± 24 ms, their distribution known; 41.4 % on the device."""
    models, rng, n = zoo(data), np.random.default_rng(0), 10_000
    variance = np.log(1 + (24 / 46) ** 2)
    leg = NormalDist(np.log(46) - variance / 2, variance**0.5)
    upload_ms, reply_ms = rng.lognormal(leg.mean, leg.stdev, (2, n))
    points_ms = np.exp([leg.inv_cdf((i + 0.5) / 21) for i in range(21)])
    requests = Requests(
        np.full(n, sla_ms), upload_ms, upload_ms, device_top1=np.array([0.414]), reply_ms=np.tile(points_ms, (n, 1))
    )
    times_ms = np.maximum(rng.normal(models.mean_ms, models.std_ms, (n, len(models))), 0.1)
    total_ms = (upload_ms + reply_ms)[:, None] + times_ms

    def accuracy(p: FloatArray) -> float:
        model = p.argmax(axis=1)
        on_time_ = total_ms[np.arange(n), model] <= sla_ms
        return float(np.where(on_time_, models.top1[model], 0.414).mean())

    chains = Chains.of(models)
    chosen = choose(models, requests, chains)
    answered = np.where(total_ms <= sla_ms, models.top1, 0.414)
    members = chains.members[chosen]
    both = np.where(members >= 0, np.take_along_axis(answered, np.maximum(members, 0), axis=1), 0.414).max(axis=1)
    published, upper = accuracy(mdinference(models, requests)), accuracy(oracle(models, requests, total_ms))
    single = accuracy(effective(models, requests))
    assert published < single < both.mean() < upper
    assert both.mean() - published > 0.8 * (upper - published)
    single_ms = models.mean_ms[mdinference(models, requests).argmax(axis=1)].mean()
    assert chains.cost_ms(models)[chosen].mean() < 2 * single_ms


def test_how_large_sets_may_be() -> None:
    assert [largest(models, 2) for models in (1, 25, 99, 100, 1000)] == [2, 2, 2, 1, 1]
    assert [largest(11, most) for most in (1, 3, 8)] == [1, 3, 8]
    assert largest(25, 8) == 3
