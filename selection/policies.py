"""The policies: which model a request gets.

A policy is a pure function `policy(models, requests) -> p [n, m]`: for each of n requests the probability of choosing
each of m models; every row sums to 1. `draw` chooses by it. Settings are keyword arguments; `find` reads them from
text.

Symbols of the papers, for a model m: A(m) top-1 accuracy, mu(m) and sigma(m) mean and deviation of its inference time;
T_sla the deadline, T_input the upload. What holds for all rules here, and is ours where the papers are silent:

- the papers' budget T_sla - 2 T_input is `requests.budget_ms`, the same while `return_ms` is `upload_ms`;
- the papers know one A(m); `models.top1` may have another one for each request;
- the papers know no queue: a rule that looks at the network takes mu(m) with the wait in front of m, mean + wait_ms;
- where no model fits, the fastest is taken, by that sum (by the mean alone in rules that are blind to the wait);
- of equally accurate models the faster is taken.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from typing import Any, Literal, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from ondevice import words
from ondevice.errors import UsageError
from ondevice.selection.ontime import on_time
from ondevice.selection.problem import SAME_MS, Models, Requests
from ondevice.timing.arrays import FloatArray, IndexArray
from ondevice.timing.quantiles import P90

Policy = Callable[[Models, Requests], FloatArray]
Reading = Literal["distance", "sigma"]
_READINGS = get_args(Reading)

# No setting of a policy has a meaning beyond: as ms it is a quarter of an hour, as a factor it outweighs all else, and
# its products with times stay far from overflowing.
_MOST = 1e6


def static_latency(models: Models, requests: Requests) -> FloatArray:
    """The fastest model, always: the papers' baseline."""
    return _certain(models, requests, _first(-models.mean_ms[None]))


def static_accuracy(models: Models, requests: Requests) -> FloatArray:
    """The most accurate model, always: the papers' baseline."""
    return _certain(models, requests, _first(np.atleast_2d(models.top1), -models.mean_ms[None]))


def random(models: Models, requests: Requests) -> FloatArray:
    """Any model, all equally likely: the papers' baseline."""
    return np.full((len(requests), len(models)), 1 / len(models))


def greedy(models: Models, requests: Requests) -> FloatArray:
    """The most accurate model with mu < T_sla. Blind to the network, and to the wait.

    Source: the authors' code (cake-lab/MDInference, `runNaive`).
    """
    mean_ms = models.mean_ms[None]
    return _certain(models, requests, _most_accurate(models, mean_ms < requests.sla_ms[:, None], mean_ms))


def budget_random(models: Models, requests: Requests) -> FloatArray:
    """Any model with mu + sigma < T_budget, all equally likely.

    Source: the authors' code (cake-lab/MDInference, `runBudget1`), sure in form: its filter is not among what is
    published.
    """
    fits = _soon_ms(models, requests) + models.std_ms < requests.budget_ms[:, None]
    return _in_proportion(fits.astype(float), _fastest(models, requests))


def budget_weighted(models: Models, requests: Requests) -> FloatArray:
    """Any model with mu + sigma < T_budget, with probability proportional to A.

    Source: the authors' code (cake-lab/MDInference, `runBudget2`), sure in form: its filter is not among what is
    published.
    """
    fits = _soon_ms(models, requests) + models.std_ms < requests.budget_ms[:, None]
    return _in_proportion(fits * models.top1, _fastest(models, requests))


def mdinference(models: Models, requests: Requests, *, gamma: float = 1.0) -> FloatArray:
    """The most accurate model with mu + gamma sigma < T_budget.

    Source: the authors' code (cake-lab/MDInference, `runMDInference`), there with gamma = 1.
    """
    soon_ms = _soon_ms(models, requests)
    fits = soon_ms + gamma * models.std_ms < requests.budget_ms[:, None]
    return _certain(models, requests, _most_accurate(models, fits, soon_ms))


def cnnselect(
    models: Models, requests: Requests, *, threshold_ms: float = 0.0, reading: Reading = "distance"
) -> FloatArray:
    """CNNSelect: a base model, the models like it, and a draw among them by utility.

    Upper and lower limit are T_U = T_sla - 2 T_input and T_L = T_U - threshold_ms, threshold_ms >= 0; the authors' code
    takes the inference time on the device for it.

    1. Greedily, the base model: the most accurate with mu + sigma < T_U and mu - sigma < T_L. None: the fastest model.
    2. Optimistically, the models that may be as good: mu + sigma < T_U, and as `reading` says
       `distance`: |T_L - mu| <= |T_L - mu(base)|;
       `sigma`: |mu - mu(base)| <= sigma(base).
    3. One of them with probability proportional to its utility U = A (T_U - (mu + sigma)) / |T_L - mu|.

    The paper's (Ogden and Guo, arXiv 1909.04783; as ModiPick, arXiv 1909.02053): the two limits, and the three stages
    with what each is for. A reconstruction, not checked against the text: the formulas of stages 1 and 3. Open, and
    therefore a setting: how wide the set of stage 2 is. Ours: a distance counts as at least a microsecond, and the base
    model is taken where all utilities are 0.
    Raises UsageError for an unknown reading.
    """
    words.known(reading, _READINGS, "reading of cnnselect")
    soon_ms = _soon_ms(models, requests)
    upper_ms = requests.budget_ms[:, None]
    lower_ms = upper_ms - threshold_ms
    slack_ms, gap_ms = upper_ms - (soon_ms + models.std_ms), lower_ms - soon_ms
    distance_ms, fits = abs(gap_ms), slack_ms > 0

    may_be_base = fits & (gap_ms > -models.std_ms)
    base = np.arange(len(requests)), _most_accurate(models, may_be_base, soon_ms)
    if reading == "distance":
        like_base = distance_ms <= distance_ms[base][:, None]
    else:
        like_base = abs(gap_ms - gap_ms[base][:, None]) <= models.std_ms[base[1]][:, None]
    eligible = like_base & fits & may_be_base[base][:, None]
    utility = models.top1 * slack_ms / np.maximum(distance_ms, SAME_MS)
    return _in_proportion(utility * eligible, _certain(models, requests, base[1]))


def layercake(models: Models, requests: Requests, *, share: float = 0.8, buffer_ms: float = 50.0) -> FloatArray:
    """The most accurate model whose 90th percentile is at most share (T_sla - buffer_ms) - (RTT + bytes / bandwidth).

    Source: LayerCake's client (CCGrid 2023; cake-lab/LayerCake, `Model.kt`), there with share 0.8, and 50 ms for
    resizing the picture; moderately sure. Left out: models on the device and the backup started there, which are the
    client's to choose. Ours: the wait counts with the percentile; the network is `requests.link_ms`.
    """
    link_ms = (requests.upload_ms + requests.return_ms)[:, None] if requests.link_ms is None else requests.link_ms
    fits = requests.wait_ms + models.quantiles_ms[:, P90] <= share * (requests.sla_ms[:, None] - buffer_ms) - link_ms
    return _certain(models, requests, _most_accurate(models, fits, _soon_ms(models, requests)))


def effective(models: Models, requests: Requests, *, price: float = 1.0) -> FloatArray:
    """The model with the greatest expected effective accuracy: A P + A_device (1 - P), P its chance to be on time.

    Where others wait, less what its work costs them: `price` times what a worker's time is worth (`_cost`).

    The measure is MDInference's (a late answer is replaced by the device's); choosing by its expectation is this
    project's, with P from the learned times of models and reply (`on_time`). A model less accurate than the device
    counts as no gain at all, for the client has the device's answer. Of equals, and so where there is nothing to gain,
    the likeliest on time is taken, and of those the fastest.
    """
    chance = on_time(models, requests)
    worth = np.maximum(models.top1 - requests.device_top1[:, None], 0.0)
    gain = worth * chance
    if price and requests.fill is not None:
        gain -= price * _cost(models, requests, requests.fill, worth)
    return _certain(models, requests, _first(gain, chance, -_soon_ms(models, requests)))


def oracle(models: Models, requests: Requests, times_ms: FloatArray) -> FloatArray:
    """Clairvoyant: the most accurate model that will be on time, else the fastest. The upper bound, not in POLICIES.

    times_ms [n, m]: what each request would take with each model in truth, from first byte sent to answer.
    """
    return _certain(models, requests, _most_accurate(models, times_ms <= requests.sla_ms[:, None], times_ms))


POLICIES: dict[str, Policy] = {
    policy.__name__.replace("_", "-"): policy
    for policy in (
        static_latency, static_accuracy, random, greedy, budget_random, budget_weighted, mdinference, cnnselect,
        layercake, effective,
    )
}  # fmt: skip


def find(text: str) -> Policy:
    """The policy that `text` names, with its settings: `mdinference`, `cnnselect:threshold_ms=20,reading=sigma`.

    Raises UsageError for an unknown name, setting or value, with those nearest to it.
    """
    name, colon, settings = text.partition(":")
    policy = POLICIES[words.known(name, POLICIES, "policy")]
    return partial(policy, **dict(_setting(name, item) for item in settings.split(","))) if colon else policy


def draw(p: FloatArray, rng: np.random.Generator) -> IndexArray:
    """A choice [n] of model for each row of p [n, m], by its probabilities."""
    cumulated = np.add.accumulate(p, axis=1)  # a third of the time of `cumsum`
    # Times the last, which rounding may leave beside 1; the product is always below it.
    chosen: IndexArray = (cumulated > rng.random((len(p), 1)) * cumulated[:, -1:]).argmax(axis=1)
    return chosen


def _cost(models: Models, requests: Requests, fill: FloatArray, worth: FloatArray) -> FloatArray:
    """The accuracy that others lose while a worker is busy with a request: [n, m]. worth [n, m]: A - A_device.

    In a queue a worker's time has a price. With q the queue's fill it is q^2 times what can be made of a millisecond,
    from what the most accurate model makes of it (q = 0) to what the best one does (q = 1), along a geometric line.
    Without a queue all is free; with a full one the thriftiest model alone pays, before anything has to be refused.
    That the price follows the queue, and the choice then nears what is best for all, is drift-plus-penalty (Neely,
    Stochastic Network Optimization, 2010); the curve is ours, from simulations.
    """
    takes_ms = models.mean_ms + (0.0 if requests.work_ms is None else requests.work_ms)
    per_ms = worth / np.maximum(takes_ms, SAME_MS)
    dearest = per_ms[np.arange(len(per_ms)), worth.argmax(axis=1)][:, None]
    cost: FloatArray = dearest ** (1 - fill) * per_ms.max(axis=1, keepdims=True) ** fill * takes_ms
    return fill * fill * cost


def _soon_ms(models: Models, requests: Requests) -> FloatArray:
    """The mu of the rules [n, m] or [1, m]: the mean inference time and the wait in front of it."""
    return requests.wait_ms + models.mean_ms


def _first(*keys: FloatArray) -> IndexArray:
    """The model [n] that comes first by keys [n, m]: with the greatest first key, of equals the greatest second, …"""
    among = keys[0] == keys[0].max(axis=1, keepdims=True)
    for key in keys[1:]:
        if np.count_nonzero(among) == len(among):  # no ties are left
            break
        score = np.where(among, key, -np.inf)
        among = score == score.max(axis=1, keepdims=True)
    first: IndexArray = among.argmax(axis=1)
    return first


def _most_accurate(models: Models, fits: NDArray[np.bool_], times_ms: FloatArray) -> IndexArray:
    """The most accurate model [n] that fits, the faster of equals; where none fits all are equal: the fastest."""
    return _first(np.where(fits, models.top1, -np.inf), -times_ms)


def _fastest(models: Models, requests: Requests) -> FloatArray:
    return _certain(models, requests, _first(-_soon_ms(models, requests)))


def _certain(models: Models, requests: Requests, chosen: IndexArray) -> FloatArray:
    """The probabilities [n, m] of a choice [n] that leaves nothing to chance."""
    p = np.zeros((len(requests), len(models)))
    p[np.arange(len(p)), chosen] = 1.0
    return p


def _in_proportion(weights: FloatArray, p: FloatArray) -> FloatArray:
    """Write probabilities proportional to weights [n, m] over p [n, m], except in rows where all weights are 0."""
    total = weights.sum(axis=1, keepdims=True)
    np.divide(weights, total, out=p, where=total > 0)
    return p


def _setting(policy: str, text: str) -> tuple[str, Any]:
    """A policy's setting and its value, from `name=value`."""
    name, _, value = text.partition("=")
    hints = get_type_hints(POLICIES[policy])
    settings = {
        p.name: hints[p.name]
        for p in inspect.signature(POLICIES[policy]).parameters.values()
        if p.kind is p.KEYWORD_ONLY
    }
    kind = settings[words.known(name, settings, f"setting of {policy}")]
    return name, _number(name, value) if kind is float else words.known(value, get_args(kind), name)


def _number(name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value <= _MOST:
        raise UsageError(f"{name} must be a number from 0 to {_MOST:g}, not {text[:40]!r}")
    return value
