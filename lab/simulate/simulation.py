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

from ondevice import words
from ondevice.lab.simulate.arrivals import ALONE, Arrivals
from ondevice.lab.simulate.device_model import DeviceModel
from ondevice.lab.simulate.estimates import ReplyEstimate, RequestEstimator
from ondevice.lab.simulate.legs import ALL_REQUESTS, DEFAULT_SIZES, Legs, NetworkModel, Sizes
from ondevice.lab.simulate.modelset import ModelSet
from ondevice.lab.simulate.outcomes import LATE, ON_TIME, STOOD_IN, OutcomeBatch, OutcomeCounts
from ondevice.lab.simulate.upload_rules import CHOOSING_BOTH
from ondevice.lab.simulate.upload_table import DEFAULT_CONDITIONS, UploadConditions, UploadTable
from ondevice.selection import policies
from ondevice.selection.problem import Models, Requests
from ondevice.timing.arrays import FloatArray, IndexArray

# So many requests at once: what they need fits into the processor's cache.
CHUNK = 8192
ORACLE, DEVICE = "oracle", "device"


class QueueView(enum.StrEnum):
    """What a policy sees of the queue.

    blind: nothing, as published. known: the expected wait, as it chooses at the request's arrival. turn: it chooses
    when a worker is free, and knows what has been waited.
    """

    BLIND = "blind"
    KNOWN = "known"
    TURN = "turn"


@dataclass(frozen=True)
class SimulationSettings:
    """What all cases have in common.

    estimate: of replies and the link, see ReplyEstimate. sizes: of pictures and replies, for traces. device: the
    device's own model. duplication: whether its answer stands in for a late one. uploading: for cases with uploads.
    """

    requests: int = 10_000
    seed: int = 0
    estimate: ReplyEstimate = ReplyEstimate.SEEN
    sizes: Sizes = DEFAULT_SIZES
    device: DeviceModel | None = None
    duplication: bool = True
    uploading: UploadConditions = DEFAULT_CONDITIONS

    @property
    def device_top1(self) -> float:
        """The accuracy of the device's answer, which stands in for a late one; 0 where none does."""
        return self.device.top1 if self.device and self.duplication else 0.0


@dataclass(frozen=True)
class Case:
    """One row of the result: a policy with models, behind a network, under a load, with a deadline.

    policy: as `policies.find` takes it, or `oracle`, or `device`. workers, queue: where the load makes queues. table:
    what may be sent of pictures, where one device's uploads are simulated over its link; None: each request is alone,
    and all pictures have one size. upload: the rule of what is sent, where the policy does not choose it too.
    """

    models: ModelSet
    network: NetworkModel
    sla_ms: float
    policy: str
    arrivals: Arrivals = ALONE
    workers: int = 1
    queue: QueueView = QueueView.BLIND
    table: UploadTable | None = None
    upload: str = ""

    @property
    def queued(self) -> bool:
        """Whether requests may find the server busy: not those of one device."""
        return self.arrivals.queued and self.table is None


@dataclass(frozen=True, eq=False)
class RandomStreams:
    """A stream of random numbers for each purpose, so that one's draws do not move the others'."""

    arrivals: np.random.Generator
    legs: np.random.Generator
    noise: np.random.Generator
    device: np.random.Generator
    choice: np.random.Generator
    pictures: np.random.Generator

    @classmethod
    def of(cls, seed: int) -> RandomStreams:
        """Make all streams from one seed."""
        return cls(*map(np.random.default_rng, np.random.SeedSequence(seed).spawn(6)))


@dataclass(frozen=True, eq=False)
class GroundTruth:
    """What n requests will meet, and no policy knows.

    at_ms [n]: when they begin. legs: what the network does with them. noise [2 n]: of the inference times; model j of m
    takes that of j n / m places further: so it is another draw for each model of a request, at the cost of one.
    device_ms [n]: what the device's answer takes.
    """

    at_ms: FloatArray
    legs: Legs
    noise: FloatArray
    device_ms: FloatArray

    def __len__(self) -> int:
        return len(self.at_ms)

    def times_ms(self, models: ModelSet, model: IndexArray, request: IndexArray) -> FloatArray:
        """The inference times of requests with models, both given by number; they broadcast."""
        return models.times_ms(self.noise[request + model * len(self) // len(models)], model)

    def all_ms(self, models: ModelSet, wait_ms: float = 0.0, part: slice = ALL_REQUESTS) -> FloatArray:
        """The time to the answer of the k requests in `part` with each model, after a wait at the server: [k, m]."""
        request = np.arange(len(self))[part, None]
        later_ms = wait_ms + self.times_ms(models, np.arange(len(models)), request)
        all_ms: FloatArray = self.legs.upload_ms[part, None] + later_ms + self.legs.reply_after(later_ms, part)
        return all_ms


# The models [n] chosen for n requests; the last argument gives the true times to the answer, which only the oracle
# asks.
Chooser = Callable[[Models, Requests, Callable[[], FloatArray]], IndexArray]


def chooser(text: str, rng: np.random.Generator) -> Chooser:
    """The policy that `text` names, with what it draws. Raises UsageError for a text that names none."""
    if text == ORACLE:
        return lambda models, requests, total_ms: policies.oracle(models, requests, total_ms()).argmax(axis=1)
    found = policies.find(text)
    return lambda models, requests, total_ms: policies.draw(found(models, requests), rng)


def check_policy(text: str) -> None:
    """Raise UsageError, with the nearest, for a text that does not name a policy."""
    if text not in (ORACLE, DEVICE, *CHOOSING_BOTH):
        name = text.partition(":")[0]
        words.known(name, [*policies.POLICIES, ORACLE, DEVICE, *CHOOSING_BOTH], "policy")
        policies.find(text)


def ground_truths(
    case: Case, settings: SimulationSettings, streams: RandomStreams
) -> Callable[[int, int], GroundTruth]:
    """A function that draws the next n requests, from number `first` on, each time it is called: (first, n)."""
    clock = case.arrivals.clock(carries_per_s(case), streams.arrivals)
    device = settings.device

    def draw_next(first: int, n: int) -> GroundTruth:
        at_ms = clock(n)
        legs = case.network.sample(at_ms, streams.legs, settings.sizes, first)
        noise = case.models.noise(n, streams.noise)
        # Without a device its answer never comes.
        device_ms = device.sample(n, streams.device) if device else np.full(n, np.inf)
        return GroundTruth(at_ms, legs, np.concatenate([noise, noise]), device_ms)

    return draw_next


def carries_per_s(case: Case) -> float:
    """How many requests a second the workers carry with the most accurate model alone, the fastest of equals."""
    models = case.models.models
    best = np.lexsort((models.mean_ms, -models.top1))[0]
    return float(case.workers * 1e3 / models.mean_ms[best])


def no_outcomes(case: Case, settings: SimulationSettings) -> OutcomeCounts:
    """Counts for the requests of a case, of which none is counted yet."""
    return OutcomeCounts(settings.requests, case.models.models.top1, settings.device.top1 if settings.device else 0.0)


# What becomes of the requests drawn, of which the first has this number.
_Batches = Callable[[GroundTruth, int], OutcomeBatch]


def simulate(case: Case, settings: SimulationSettings) -> OutcomeCounts:
    """Simulate all requests of the case, each alone: the load only says when they come. Queues: `queueing.simulate`.

    Memory grows with CHUNK, not with their number. Raises UsageError.
    """
    streams, outcomes = RandomStreams.of(settings.seed), no_outcomes(case, settings)
    draw_next = ground_truths(case, settings, streams)
    batch = _on_device(case) if case.policy == DEVICE else _in_cloud(case, settings, streams)
    for first in range(0, settings.requests, CHUNK):
        outcomes.add(batch(draw_next(first, min(CHUNK, settings.requests - first)), first))
    return outcomes


def _on_device(case: Case) -> _Batches:
    """All requests are answered by the device."""

    def batch(truth: GroundTruth, first: int) -> OutcomeBatch:
        nothing = np.zeros(len(truth))
        fate = np.where(truth.device_ms <= case.sla_ms, ON_TIME, LATE)
        return OutcomeBatch(np.full(len(truth), len(case.models)), fate, truth.device_ms, nothing, nothing)

    return batch


def _in_cloud(case: Case, settings: SimulationSettings, streams: RandomStreams) -> _Batches:
    """All requests are sent to the cloud."""
    choose = chooser(case.policy, streams.choice)
    estimator = RequestEstimator(settings.estimate, case.network, settings.sizes)

    def batch(truth: GroundTruth, first: int) -> OutcomeBatch:
        requests = estimator.requests(truth.legs, case.sla_ms, settings.device_top1, first)
        model = choose(case.models.models, requests, lambda: truth.all_ms(case.models))
        return cloud_batch(case, settings, truth, model)

    return batch


def cloud_batch(
    case: Case, settings: SimulationSettings, truth: GroundTruth, model: IndexArray, wait_ms: FloatArray | float = 0.0
) -> OutcomeBatch:
    """What becomes of n requests with these models [n] and waits [n] at the server."""
    times_ms = truth.times_ms(case.models, model, np.arange(len(truth)))
    later_ms = wait_ms + times_ms
    cloud_ms = truth.legs.upload_ms + later_ms + truth.legs.reply_after(later_ms)
    fate, answer_ms = fates(cloud_ms, truth.device_ms, case.sla_ms, settings.duplication)
    return OutcomeBatch(model, fate, answer_ms, times_ms, np.broadcast_to(wait_ms, len(truth)))


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
