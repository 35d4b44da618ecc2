"""The policies: by hand, what must hold for every problem, and the way from text."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from model_sets import normal

from ondevice.errors import UsageError
from ondevice.selection import policies
from ondevice.selection.ontime import on_time
from ondevice.selection.policies import POLICIES, cnnselect, draw, find
from ondevice.selection.problem import Models, Requests
from ondevice.timing.quantiles import LEVELS

# Every rule, those with settings more than once.
ALL = [*POLICIES, "mdinference:gamma=0", "cnnselect:threshold_ms=7", "cnnselect:threshold_ms=7,reading=sigma"]


# Slower and better; and one that is neither.
MODELS = normal((0.5, 10, 1), (0.7, 20, 2), (0.8, 40, 4), (0.6, 30, 1))


def problem(seed: int, n: int = 50, m: int = 7) -> tuple[Models, Requests]:
    """Drawn models, and requests some of which leave no time and some plenty."""
    rng = np.random.default_rng(seed)
    models = normal(*zip(rng.uniform(0, 1, m), rng.uniform(1, 60, m), rng.uniform(0.1, 5, m), strict=True))
    requests = Requests(
        rng.uniform(0, 150, n), rng.uniform(0, 20, n), rng.uniform(0, 20, n), rng.uniform(0, 20, (n, m)),
        rng.uniform(0, 1, n), rng.uniform(0, 40, (n, 4)), rng.uniform(0, 60, (n, m)),
    )  # fmt: skip
    return models, requests


def chosen(text: str, request: Requests, models: Models = MODELS) -> int:
    """The model that is certain."""
    p = find(text)(models, request)
    assert p.shape == (1, len(models))
    assert p.max() == 1
    return int(p.argmax())


def test_the_registry_has_the_table_s_names() -> None:
    assert set(POLICIES) == {
        "static-latency", "static-accuracy", "random", "greedy", "budget-random", "budget-weighted", "mdinference",
        "cnnselect", "layercake", "effective",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "request_", "expected"),
    [
        ("static-latency", Requests.one(1000), 0),
        ("static-accuracy", Requests.one(1), 2),
        ("greedy", Requests.one(41, upload_ms=100), 2),
        ("greedy", Requests.one(40), 1),
        ("greedy", Requests.one(10), 0),
        ("mdinference", Requests.one(44.1), 2),
        ("mdinference", Requests.one(44), 1),
        ("mdinference", Requests.one(62.5, upload_ms=20), 1),
        ("mdinference", Requests.one(62.5, upload_ms=20, return_ms=21), 0),
        ("mdinference:gamma=0", Requests.one(44), 2),
        ("mdinference:gamma=3", Requests.one(44.1), 1),
        ("mdinference", Requests.one(50, wait_ms=[9, 9, 9, 9]), 1),
        ("mdinference", Requests.one(50, wait_ms=[60, 60, 0, 60]), 2),
        ("mdinference", Requests.one(15, wait_ms=[30, 5, 0, 0]), 1),
        # 0.8 (T_sla - 50) - network, against a 90th percentile of 45.1, 22.6, 11.3 and 31.3 ms.
        ("layercake", Requests.one(107), 2),
        ("layercake", Requests.one(106), 1),
        ("layercake", Requests.one(107, upload_ms=5, return_ms=1), 1),
        ("layercake", Requests.one(107, upload_ms=5, return_ms=1, link_ms=0), 2),
        ("layercake", Requests.one(107, link_ms=[0, 30, 30, 0]), 3),
        ("layercake", Requests.one(107, wait_ms=[0, 0, 1, 0]), 1),
        ("layercake", Requests.one(50), 0),
        ("layercake:share=1,buffer_ms=0", Requests.one(46), 2),
    ],
)
def test_rules_without_chance_by_hand(text: str, request_: Requests, expected: int) -> None:
    assert chosen(text, request_) == expected


@pytest.mark.parametrize("text", ["static-accuracy", "greedy", "mdinference", "layercake", "effective"])
def test_of_equally_accurate_models_the_faster_is_taken(text: str) -> None:
    assert chosen(text, Requests.one(1000), normal((0.7, 20, 1), (0.7, 10, 1), (0.7, 30, 1), (0.6, 1, 1))) == 1


def test_rules_with_chance_by_hand() -> None:
    fits_three = Requests.one(76, upload_ms=20, wait_ms=[1, 1, 1, 1])
    none_fits = Requests.one(40, upload_ms=20)
    assert find("random")(MODELS, none_fits)[0] == pytest.approx([1 / 4] * 4)
    assert find("budget-random")(MODELS, fits_three)[0] == pytest.approx([1 / 3, 1 / 3, 0, 1 / 3])
    assert find("budget-weighted")(MODELS, fits_three)[0] == pytest.approx([5 / 18, 7 / 18, 0, 6 / 18])
    assert find("budget-random")(MODELS, none_fits)[0].tolist() == [1, 0, 0, 0]
    assert find("budget-weighted")(MODELS, none_fits)[0].tolist() == [1, 0, 0, 0]


def test_where_none_fits_the_fastest_is_the_one_that_is_through_first() -> None:
    cold = Requests.one(5, wait_ms=[30, 0, 0, 0])
    blind = {"greedy": 0, "static-latency": 0}
    texts = ("budget-random", "budget-weighted", "mdinference", "cnnselect", "layercake", "effective")
    assert {text: chosen(text, cold) for text in (*blind, *texts)} == {**blind, **dict.fromkeys(texts, 1)}


@pytest.mark.parametrize(
    ("settings", "sla_ms", "expected"),
    [
        # T_U = T_L = 30: base m1 at a distance of 10, and none slower that fits.
        ({}, 30, [0, 1, 0, 0]),
        # T_U = T_L = 35: base m1 at 15; m3 at 5 fits, too. U = 0.7 * 13 / 15 and 0.6 * 4 / 5.
        ({}, 35, [0, 0.7 * 13 / 15, 0, 0.6 * 4 / 5]),
        # T_U = 30, T_L = 15: base m0 at 5; m1 at 5 fits. U = 0.5 * 19 / 5 and 0.7 * 8 / 5.
        ({"threshold_ms": 15}, 30, [0.5 * 19 / 5, 0.7 * 8 / 5, 0, 0]),
        # The same, but only what is within 10 ± 1.
        ({"threshold_ms": 15, "reading": "sigma"}, 30, [1, 0, 0, 0]),
        # T_L = 5: none may be the base.
        ({"threshold_ms": 25}, 30, [1, 0, 0, 0]),
        # T_L is mu(m0) itself: the distance counts as a microsecond.
        ({"threshold_ms": 10}, 20, [1, 0, 0, 0]),
        ({"threshold_ms": 10, "reading": "sigma"}, 20, [1, 0, 0, 0]),
    ],
)
def test_cnnselect_by_hand(settings: dict[str, Any], sla_ms: float, expected: list[float]) -> None:
    p = cnnselect(MODELS, Requests.one(sla_ms + 20, upload_ms=10), **settings)
    assert p[0] == pytest.approx(np.array(expected) / sum(expected))


@pytest.mark.parametrize("reading", ["distance", "sigma"])
def test_cnnselect_without_a_base_ends_with_the_fastest(reading: str) -> None:
    # The first varies too much to fit, the second is eligible but for the want of a base.
    models = normal((0.5, 10, 30), (0.7, 20, 2))
    assert chosen(f"cnnselect:threshold_ms=15,reading={reading}", Requests.one(30), models) == 0


def test_cnnselect_by_sigma_takes_what_is_as_fast_as_the_base() -> None:
    models = normal((0.7, 20, 3), (0.6, 22, 1), (0.6, 24, 1), (0.65, 18, 1))
    utility = [0.7 * 17 / 20, 0.6 * 17 / 18, 0, 0.65 * 21 / 22]
    p = find("cnnselect:reading=sigma")(models, Requests.one(40))
    assert p[0] == pytest.approx(np.array(utility) / sum(utility))


def test_cnnselect_counts_a_distance_as_at_least_a_microsecond() -> None:
    # The second is at T_L itself.
    p = cnnselect(normal((0.8, 15, 1), (0.5, 20, 1)), Requests.one(30), threshold_ms=10)
    utility = np.array([0.8 * 14 / 5, 0.5 * 9 / 0.001])
    assert p[0] == pytest.approx(utility / utility.sum())


def test_effective_by_hand() -> None:
    models = replace(
        normal((0.5, 10, 1), (0.8, 20, 1)), quantiles_ms=np.array([20 * LEVELS, 10 + 20 * LEVELS])
    )  # on time at 15 ms with chances of 0.75 and 0.25
    assert chosen("effective", Requests.one(15), models) == 0
    assert chosen("effective", Requests.one(15, device_top1=0.45), models) == 1
    assert chosen("effective", Requests.one(15, device_top1=0.9), models) == 0
    assert chosen("effective", Requests.one(20, reply_ms=[0, 10]), models) == 0
    assert chosen("effective", Requests.one(27, reply_ms=[0, 10]), models) == 1
    assert chosen("effective", Requests.one(-5), models) == 0


def test_effective_takes_the_likeliest_in_time_where_the_device_is_better() -> None:
    # The first is the faster in the mean, but not for certain.
    models = replace(normal((0.5, 10, 9), (0.4, 14, 1)), quantiles_ms=np.array([20 * LEVELS, 13 + 2 * LEVELS]))
    assert chosen("effective", Requests.one(15), models) == 1
    assert chosen("effective", Requests.one(15, device_top1=0.6), models) == 1
    assert chosen("effective", Requests.one(30, device_top1=0.6), models) == 0


@pytest.mark.parametrize("seed", range(5))
def test_effective_has_the_greatest_expected_effective_accuracy(seed: int) -> None:
    models, requests = problem(seed)
    chance, device = on_time(models, requests), requests.device_top1[:, None]
    worth = models.top1 * chance + device * (1 - chance)
    taken = (find("effective")(models, requests) * worth).sum(axis=1)
    better = worth.max(axis=1) > requests.device_top1 + 1e-9
    assert better.any()
    assert taken[better] == pytest.approx(worth.max(axis=1)[better])


def test_effective_gives_way_to_others_as_the_queue_fills() -> None:
    models = normal((0.4, 2, 0.1), (0.7, 5, 0.1), (0.9, 10, 0.1))

    def taken(fill: float, text: str = "effective", **more: Any) -> int:
        return chosen(text, Requests.one(1000, fill=fill, **more), models)

    assert [taken(fill) for fill in (0, 0.2, 0.6, 0.85)] == [2, 2, 1, 0]
    # By hand, at 0.6: 0.9 - 0.36 * 0.09**0.4 * 0.2**0.6 * 10 = 0.377, and 0.438 and 0.295 for the others.
    assert [taken(fill, "effective:price=0") for fill in (0, 0.2, 0.6, 1)] == [2, 2, 2, 2]
    # What it has to decode counts as work; a device that is as good as the middle one leaves only the large one.
    assert taken(0.4, work_ms=[0.0, 0.0, 0.0]) == 2
    assert taken(0.4, work_ms=[0.0, 0.0, 30.0]) == 1
    assert taken(0.85, device_top1=0.7) == 2


def test_the_price_does_not_choose_for_those_who_gain_nothing() -> None:
    models = normal((0.4, 2, 0.1), (0.7, 5, 0.1))
    assert chosen("effective", Requests.one(60, device_top1=0.9, fill=0.5), models) == 0
    assert chosen("effective", Requests.one(1, fill=0.5), models) == 0


def test_the_oracle_knows_the_times() -> None:
    requests = Requests(np.array([30.0, 30.0, 30.0]), *np.zeros((2, 3)))
    times_ms = np.array([[10.0, 20, 30, 31], [50, 20, 40, 29], [50, 60, 70, 40]])
    assert policies.oracle(MODELS, requests, times_ms).argmax(axis=1).tolist() == [2, 1, 3]


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_rows_are_probabilities_and_each_depends_on_its_request_alone(text: str, seed: int) -> None:
    models, requests = problem(seed)
    requests = replace(requests, fill=requests.wait_ms / requests.wait_ms.max(), work_ms=requests.wait_ms / 2)
    p = find(text)(models, requests)
    assert p.shape == (50, 7)
    assert p.min() >= 0
    assert p.sum(axis=1) == pytest.approx(np.ones(50))
    rows = [find(text)(models, at(requests, [row]))[0] for row in range(50)]
    assert p == pytest.approx(np.array(rows))


def at(requests: Requests, rows: list[int]) -> Requests:
    return replace(requests, **{name: value[rows] for name, value in vars(requests).items() if value is not None})


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_models_does_not_matter(text: str, seed: int) -> None:
    models, requests = problem(seed)
    order = np.random.default_rng(seed).permutation(7)
    moved = Models(
        tuple(models.names[i] for i in order), models.top1[order], models.mean_ms[order], models.std_ms[order],
        models.quantiles_ms[order],
    )  # fmt: skip
    requests = replace(requests, fill=requests.wait_ms / requests.wait_ms.max(), work_ms=requests.wait_ms / 2)
    names = ("wait_ms", "link_ms", "fill", "work_ms")
    requests_moved = replace(requests, **{name: getattr(requests, name)[:, order] for name in names})
    assert find(text)(moved, requests_moved) == pytest.approx(find(text)(models, requests)[:, order])


@pytest.mark.parametrize("text", ALL)
def test_absurd_times_give_probabilities_all_the_same(text: str) -> None:
    absurd = [-1e300, -1.0, 0.0, 1e-300, 5.0, 3.6e6, 1e300]
    sla_ms, upload_ms, return_ms, wait_ms = np.array(list(itertools.product(absurd, repeat=4))).T
    requests = Requests(sla_ms, upload_ms, return_ms, wait_ms[:, None], np.array([0.5]))
    models = normal((0.0, 5, 0), (1.0, 0, 0), (0.5, 1e-3, 1e-3), (0.7, 1e6, 1e5))
    spread = replace(requests, reply_ms=np.c_[return_ms, -return_ms], link_ms=return_ms[:, None])
    queued = replace(requests, fill=np.linspace(0, 1, len(wait_ms))[:, None], work_ms=abs(return_ms)[:, None])
    for given in (requests, spread, queued):
        p = find(text)(models, given)
        assert np.isfinite(p).all()
        assert p.min() >= 0
        assert p.sum(axis=1) == pytest.approx(np.ones(len(p)))


@pytest.mark.parametrize("text", ALL)
def test_one_model_is_all_the_choice_and_no_requests_no_rows(text: str) -> None:
    assert chosen(text, Requests.one(20), normal((0.5, 10, 1))) == 0
    assert find(text)(MODELS, Requests(*np.zeros((3, 0)))).shape == (0, 4)


@pytest.mark.parametrize("text", ["mdinference", "layercake", "greedy", "cnnselect:reading=sigma"])
@pytest.mark.parametrize("seed", range(5))
def test_accuracy_never_falls_as_the_deadline_rises(text: str, seed: int) -> None:
    # Where the slower model is the better, and no model varies so much that the fastest does not fit first.
    rng = np.random.default_rng(seed)
    mean_ms = np.cumsum(rng.uniform(2, 10, 8))
    models = normal(*zip(np.sort(rng.uniform(0.3, 0.9, 8)), mean_ms, 0.1 * mean_ms, strict=True))
    requests = Requests(np.linspace(0, 150, 400), np.full(400, 10.0), np.full(400, 10.0))
    accuracy = find(text)(models, requests) @ models.top1
    assert (np.diff(accuracy) >= -1e-12).all()
    assert accuracy[-1] > accuracy[0]


def test_mdinference_never_falls_in_any_set_in_which_the_fastest_fits_first() -> None:
    for seed in range(20):
        models, _ = problem(seed)
        models = replace(models, std_ms=0.2 * models.mean_ms)
        requests = Requests(np.linspace(0, 150, 400), *np.full((2, 400), 10.0), wait_ms=np.full((1, 7), 3.0))
        accuracy = find("mdinference")(models, requests) @ models.top1
        above_fastest = requests.budget_ms > 3 + 1.2 * models.mean_ms.min()
        assert (np.diff(accuracy[above_fastest]) >= 0).all()


@pytest.mark.parametrize("text", ALL)
@pytest.mark.parametrize("queued", [False, True])
def test_accuracies_that_differ_by_request_give_what_each_would_alone(text: str, queued: bool) -> None:
    models, requests = problem(3)
    rng = np.random.default_rng(4)
    n, m = len(requests), len(models)
    if queued:
        requests = replace(requests, fill=rng.uniform(0, 1, (n, 1)), work_ms=rng.uniform(0, 9, (n, m)))
    # A few equal ones in every row, and one row where all are.
    top1 = rng.integers(0, 6, (n, m)) / 5
    top1[0] = 0.5
    whole = find(text)(replace(models, top1=top1), requests)
    alone = [find(text)(replace(models, top1=row), at(requests, [number])) for number, row in enumerate(top1)]
    assert np.array_equal(whole, np.concatenate(alone))
    same = find(text)(replace(models, top1=models.top1[None]), requests)
    assert np.array_equal(same, find(text)(models, requests))


def test_greedy_is_blind_to_the_network_and_to_the_wait() -> None:
    models, requests = problem(0)
    elsewhere = replace(problem(1)[1], sla_ms=requests.sla_ms)
    assert (find("greedy")(models, requests) == find("greedy")(models, elsewhere)).all()
    assert (find("mdinference")(models, requests) != find("mdinference")(models, elsewhere)).any()


def test_settings_from_text() -> None:
    models, requests = problem(0)
    found = find("cnnselect:threshold_ms=20,reading=sigma")(models, requests)
    assert (found == cnnselect(models, requests, threshold_ms=20, reading="sigma")).all()
    assert (found != cnnselect(models, requests)).any()
    assert find("cnnselect") is cnnselect


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no policy ''; there are static-latency, .*effective"),
        ("mdinferense", "no policy 'mdinferense'; did you mean mdinference"),
        ("budget_random", "did you mean budget-random"),
        ("oracle", "no policy 'oracle'"),
        ("cnnselect:treshold=3", "no setting of cnnselect 'treshold'; did you mean threshold_ms"),
        ("cnnselect:", "no setting of cnnselect ''; there are threshold_ms, reading"),
        ("cnnselect:models=3", "no setting of cnnselect 'models'"),
        ("greedy:gamma=1", "no setting of greedy 'gamma'; there are none"),
        ("cnnselect:reading=sgima", "no reading 'sgima'; did you mean sigma"),
        ("cnnselect:reading", "no reading ''; there are distance, sigma"),
        ("cnnselect:threshold_ms=-1", "threshold_ms must be a number from 0 to .*, not '-1'"),
        ("mdinference:gamma=nan", "gamma must be a number"),
        ("mdinference:gamma=1e400", "gamma must be a number"),
        ("mdinference:gamma=two", "gamma must be a number from 0 to .*, not 'two'"),
        ("x\ny" * 100_000, "no policy 'x.*; there are"),
    ],
)
def test_what_is_no_policy_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        find(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


def test_a_reading_that_is_none_is_refused_without_text_too() -> None:
    wrong: Any = "sgima"
    with pytest.raises(UsageError, match="did you mean sigma"):
        cnnselect(MODELS, Requests.one(50), reading=wrong)


def test_draws_follow_the_probabilities() -> None:
    p = np.tile([0.0, 0.2, 0.0, 0.5, 0.3, 0.0], (50_000, 1))
    drawn = draw(p, np.random.default_rng(0))
    assert np.bincount(drawn, minlength=6) / len(p) == pytest.approx(p[0], abs=0.01)
    assert set(drawn) == {1, 3, 4}
    assert draw(np.eye(4), np.random.default_rng(0)).tolist() == [0, 1, 2, 3]
    # As rounding does, only more: the sum is not 1.
    assert set(draw(p / 3, np.random.default_rng(0))) == {1, 3, 4}
