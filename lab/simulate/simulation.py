"""Policies under simulated networks: the selection code that serves, with times that are drawn.

A request begins at the device, its picture goes up, a model runs, the reply comes down. All requests of a case are
drawn from its seed, whatever the policy and the deadline: so two policies are compared on the same requests.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ondevice.lab.simulate import spec
from ondevice.lab.simulate.arrivals import ALONE, Arrivals
from ondevice.lab.simulate.estimates import Knowledge, Knows
from ondevice.lab.simulate.legs import EACH, USUAL, Legs, Network, Sizes
from ondevice.lab.simulate.modelset import ModelSet
from ondevice.lab.simulate.outcomes import LATE, ON_TIME, STOOD_IN, Batch, Outcomes
from ondevice.lab.simulate.reserve import Reserve
from ondevice.selection import policies
from ondevice.selection.problem import Models, Requests
from ondevice.timing.arrays import FloatArray, IndexArray

# So many requests at once: what they need fits into the processor's cache.
CHUNK = 8192
ORACLE, DEVICE = "oracle", "device"
_NO_DEVICE = Reserve("none", 0.0, np.full(2, np.inf))


class Queue(enum.StrEnum):
    """What a policy knows of the queue. blind: nothing, as published. known: the expected wait, as it chooses at the
    request's arrival. turn: it chooses when a worker is free, and knows what has been waited.
    """

    BLIND = "blind"
    KNOWN = "known"
    TURN = "turn"


@dataclass(frozen=True)
class Settings:
    """What all cases have in common. reserve: the device's own model. duplication: whether its answer stands in."""

    requests: int = 10_000
    seed: int = 0
    knows: Knows = Knows.SEEN
    sizes: Sizes = USUAL
    reserve: Reserve | None = None
    duplication: bool = True

    @property
    def device_top1(self) -> float:
        """The accuracy of the device's answer, which stands in for a late one; 0 where none does."""
        return self.reserve.top1 if self.reserve and self.duplication else 0.0


@dataclass(frozen=True)
class Case:
    """One row of the result: a policy with models, behind a network, under a load, with a deadline.

    policy: as `policies.find` takes it, or `oracle`, or `device`. workers, queue: where the load makes queues.
    """

    models: ModelSet
    network: Network
    sla_ms: float
    policy: str
    arrivals: Arrivals = ALONE
    workers: int = 1
    queue: Queue = Queue.BLIND


@dataclass(frozen=True, eq=False)
class Rngs:
    """Chance, apart for each purpose, so that one's draws do not move the others'."""

    arrivals: np.random.Generator
    legs: np.random.Generator
    noise: np.random.Generator
    device: np.random.Generator
    choice: np.random.Generator

    @classmethod
    def of(cls, seed: int) -> Rngs:
        """All from one seed."""
        return cls(*map(np.random.default_rng, np.random.SeedSequence(seed).spawn(5)))


@dataclass(frozen=True, eq=False)
class Truth:
    """What n requests will meet, and no policy knows. at_ms [n]: when they begin. device_ms [n]: the device's answer.

    noise [2 n]: of the inference times. Model j of m takes that of j n / m places further: so it is another draw for
    each model of a request, at the cost of one.
    """

    at_ms: FloatArray
    legs: Legs
    noise: FloatArray
    device_ms: FloatArray

    def __len__(self) -> int:
        return len(self.at_ms)

    def times_ms(self, models: ModelSet, model: IndexArray, request: IndexArray) -> FloatArray:
        """The inference of requests with models, both given by number; they broadcast."""
        return models.times_ms(self.noise[request + model * len(self) // len(models)], model)

    def all_ms(self, models: ModelSet, wait_ms: float = 0.0, part: slice = EACH) -> FloatArray:
        """[k, m]: the whole of the k requests in `part` with each model, after a wait."""
        request = np.arange(len(self))[part, None]
        later_ms = wait_ms + self.times_ms(models, np.arange(len(models)), request)
        all_ms: FloatArray = self.legs.upload_ms[part, None] + later_ms + self.legs.reply_after(later_ms, part)
        return all_ms


Rule = Callable[[Models, Requests, Callable[[], FloatArray]], IndexArray]


def policy(text: str, rng: np.random.Generator) -> Rule:
    """The models [n] that the policy chooses; the last argument gives the true total times, which only the oracle asks.

    Raises UsageError for what names none.
    """
    if text == ORACLE:
        return lambda models, requests, total_ms: policies.oracle(models, requests, total_ms()).argmax(axis=1)
    found = policies.find(text)
    return lambda models, requests, total_ms: policies.draw(found(models, requests), rng)


def check_policy(text: str) -> None:
    """Raises UsageError for what names no policy, with the nearest."""
    if text not in (ORACLE, DEVICE):
        name = text.partition(":")[0]
        spec.known(name, [*policies.POLICIES, ORACLE, DEVICE], "policy")
        policies.find(text)


def truths(case: Case, settings: Settings, rngs: Rngs) -> Callable[[int, int], Truth]:
    """Gives the next n requests, from number `first` on, each time it is called: (first, n)."""
    clock = case.arrivals.clock(carries_per_s(case), rngs.arrivals)
    reserve = settings.reserve or _NO_DEVICE

    def following(first: int, n: int) -> Truth:
        at_ms = clock(n)
        legs = case.network.sample(at_ms, rngs.legs, settings.sizes, first)
        noise = case.models.noise(n, rngs.noise)
        return Truth(at_ms, legs, np.concatenate([noise, noise]), reserve.sample(n, rngs.device))

    return following


def carries_per_s(case: Case) -> float:
    """How many requests a second the workers do with the most accurate model alone, the fastest of equals."""
    models = case.models.models
    best = np.lexsort((models.mean_ms, -models.top1))[0]
    return float(case.workers * 1e3 / models.mean_ms[best])


def outcomes(case: Case, settings: Settings) -> Outcomes:
    """Where to count."""
    return Outcomes(settings.requests, case.models.models.top1, settings.reserve.top1 if settings.reserve else 0.0)


Play = Callable[[Truth, int], Batch]


def simulate(case: Case, settings: Settings) -> Outcomes:
    """All requests of the case, each alone: the load only says when they come. See `queueing.simulate` for queues.

    Memory grows with CHUNK, not with their number. Raises UsageError.
    """
    rngs, counted = Rngs.of(settings.seed), outcomes(case, settings)
    following = truths(case, settings, rngs)
    play = _on_device(case) if case.policy == DEVICE else _in_cloud(case, settings, rngs)
    for first in range(0, settings.requests, CHUNK):
        counted.add(play(following(first, min(CHUNK, settings.requests - first)), first))
    return counted


def _on_device(case: Case) -> Play:
    """All on the device."""

    def play(truth: Truth, first: int) -> Batch:
        nothing = np.zeros(len(truth))
        fate = np.where(truth.device_ms <= case.sla_ms, ON_TIME, LATE)
        return Batch(np.full(len(truth), len(case.models)), fate, truth.device_ms, nothing, nothing)

    return play


def _in_cloud(case: Case, settings: Settings, rngs: Rngs) -> Play:
    """All to the cloud."""
    rule = policy(case.policy, rngs.choice)
    knowledge = Knowledge(settings.knows, case.network, settings.sizes)

    def play(truth: Truth, first: int) -> Batch:
        requests = knowledge.requests(truth.legs, case.sla_ms, settings.device_top1, first)
        model = rule(case.models.models, requests, lambda: truth.all_ms(case.models))
        return came_of(case, settings, truth, model)

    return play


def came_of(
    case: Case, settings: Settings, truth: Truth, model: IndexArray, wait_ms: FloatArray | float = 0.0
) -> Batch:
    """What becomes of n requests with these models [n] and waits [n] at the server."""
    times_ms = truth.times_ms(case.models, model, np.arange(len(truth)))
    later_ms = wait_ms + times_ms
    cloud_ms = truth.legs.upload_ms + later_ms + truth.legs.reply_after(later_ms)
    fate, answer_ms = fates(cloud_ms, truth.device_ms, case.sla_ms, settings.duplication)
    return Batch(model, fate, answer_ms, times_ms, np.broadcast_to(wait_ms, len(truth)))


def fates(cloud_ms: FloatArray, device_ms: FloatArray, sla_ms: float, duplication: bool) -> tuple[Any, FloatArray]:
    """What becomes of requests whose cloud answer takes cloud_ms, and the time to the answer that the user gets.

    With duplication the device works on each request, too: its answer is taken at the deadline, and where neither is
    there by then the first that comes. Source of the rule: MDInference (Ogden and Guo, 2020).
    """
    on_time = cloud_ms <= sla_ms
    if not duplication:
        return np.where(on_time, ON_TIME, LATE), cloud_ms
    fate = np.where(on_time, ON_TIME, np.where(device_ms <= sla_ms, STOOD_IN, LATE))
    return fate, np.where(on_time, cloud_ms, np.maximum(sla_ms, np.minimum(device_ms, cloud_ms)))
