"""Simulation under load: requests that meet at the server wait for one of its workers, first come first served.

Discrete events by simpy; for a request the same is drawn as in `simulation`, without load. The server begins idle:
where it is given more than it can do, the queue grows for as long as requests come, and never comes to a steady state.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Generator
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ondevice.lab.simulate import simulation, uploading
from ondevice.lab.simulate.estimates import RequestEstimator
from ondevice.lab.simulate.outcomes import OutcomeCounts
from ondevice.lab.simulate.simulation import (
    DEVICE,
    Case,
    Chooser,
    GroundTruth,
    QueueView,
    RandomStreams,
    SimulationSettings,
    chooser,
    cloud_batch,
    ground_truths,
    no_outcomes,
)
from ondevice.selection.problem import Requests, filled
from ondevice.timing.arrays import IndexArray

if TYPE_CHECKING:
    import simpy

# Two views of the same time: as the server expects it, and as it is.
EXPECTED, TRUE = range(2)
_Times = tuple[float, float]
# In a longer queue the wait is reckoned in the mean: what each of them takes evens out, and to go through them all at
# each arrival would take time that grows with the square of their number.
_LONG = 100


def simulate(case: Case, settings: SimulationSettings) -> OutcomeCounts:
    """Simulate all requests of a case, with uploads or queues where it has them. Raises UsageError."""
    if case.table is not None and case.policy != DEVICE:
        return uploading.simulate(case, settings)
    if not case.queued or case.policy == DEVICE:
        return simulation.simulate(case, settings)
    streams, outcomes = RandomStreams.of(settings.seed), no_outcomes(case, settings)
    truth = ground_truths(case, settings, streams)(0, settings.requests)
    estimator = RequestEstimator(settings.estimate, case.network, settings.sizes)
    requests = estimator.requests(truth.legs, case.sla_ms, settings.device_top1)
    server = SimulatedServer(case, truth, requests, chooser(case.policy, streams.choice))
    server.run()
    outcomes.add(cloud_batch(case, settings, truth, server.model, server.wait_ms))
    return outcomes


class SimulatedServer:
    """Workers and their queue. After `run`: model [n], the choices; wait_ms [n], the time in the queue."""

    def __init__(self, case: Case, truth: GroundTruth, requests: Requests, choose: Chooser) -> None:
        import simpy

        self._case, self._truth, self._requests, self._chooser = case, truth, requests, choose
        self.model: IndexArray = np.zeros(len(truth), np.intp)
        self.wait_ms = np.zeros(len(truth))
        self._env = simpy.Environment()
        self._workers = simpy.Resource(self._env, case.workers)
        # By request: what its inference takes; and of those that have begun, when it ends.
        self._takes_ms: dict[int, _Times] = {}
        self._waiting: dict[int, None] = {}
        self._planned_ms = [0.0, 0.0]  # of all that wait
        self._ends_ms: dict[int, _Times] = {}

    def run(self) -> None:
        """Run until the last request is through."""
        if self._case.queue is QueueView.BLIND:
            self._choose_all()
        self._env.process(self._source())
        self._env.run()

    def _source(self) -> Generator[simpy.Event, None, None]:
        at_ms = self._truth.legs.through_ms
        for request in np.argsort(at_ms, kind="stable").tolist():
            yield self._env.timeout(max(float(at_ms[request]) - self._env.now, 0.0))
            self._env.process(self._serve(request))

    def _serve(self, request: int) -> Generator[simpy.Event, None, None]:
        came_ms = self._env.now
        if self._case.queue is QueueView.KNOWN:
            self._choose(request, self._ahead_ms)
        with self._workers.request() as turn:
            self._begin_wait(request)
            yield turn
            self._end_wait(request)
            waited_ms = self._env.now - came_ms
            self.wait_ms[request] = waited_ms
            if self._case.queue is QueueView.TURN:
                self._choose(request, lambda view: waited_ms)
            expected_ms, true_ms = self._takes_ms.pop(request)
            self._ends_ms[request] = self._env.now + expected_ms, self._env.now + true_ms
            yield self._env.timeout(true_ms)
            del self._ends_ms[request]

    def _ahead_ms(self, view: int) -> float:
        """How long a request that comes now waits: those before it as they are planned, as the endpoint reckons."""
        free_ms = [max(ends_ms[view] - self._env.now, 0.0) for ends_ms in self._ends_ms.values()]
        free_ms += [0.0] * (self._case.workers - len(free_ms))
        if self._case.workers == 1 or len(self._waiting) > _LONG:
            # In a long queue this is off by an inference at the most.
            return (sum(free_ms) + self._planned_ms[view]) / self._case.workers
        heapq.heapify(free_ms)
        for request in self._waiting:
            heapq.heapreplace(free_ms, free_ms[0] + self._takes_ms[request][view])
        return free_ms[0]

    def _begin_wait(self, request: int) -> None:
        """A request waits from now on. Only where a model is chosen before is known what it will take."""
        self._waiting[request] = None
        for view, takes_ms in enumerate(self._takes_ms.get(request, ())):
            self._planned_ms[view] += takes_ms

    def _end_wait(self, request: int) -> None:
        del self._waiting[request]
        for view, takes_ms in enumerate(self._takes_ms.get(request, ())):
            self._planned_ms[view] -= takes_ms

    def _choose_all(self) -> None:
        """Choose for all requests before they come, blind to the queue."""
        models, request = self._case.models, np.arange(len(self._truth))
        self.model = self._chooser(models.models, self._requests, lambda: self._truth.all_ms(models))
        expected_ms = models.models.mean_ms[self.model].tolist()
        true_ms = self._truth.times_ms(models, self.model, request).tolist()
        self._takes_ms = dict(enumerate(zip(expected_ms, true_ms, strict=True)))

    def _choose(self, request: int, wait_ms: Callable[[int], float]) -> None:
        """Choose for one request now. wait_ms: its wait, in each view."""
        models, index = self._case.models, slice(request, request + 1)
        requests = _single(self._requests, index, wait_ms(EXPECTED))
        if self._case.queue is QueueView.KNOWN:
            longest_ms = float(requests.budget_ms[0] - models.models.quantiles_ms[:, -1].min())
            requests = replace(requests, fill=filled(requests.wait_ms, longest_ms))
        chosen = self._chooser(models.models, requests, lambda: self._truth.all_ms(models, wait_ms(TRUE), index))
        true_ms = self._truth.times_ms(models, chosen, np.array([request]))
        self.model[request] = chosen[0]
        self._takes_ms[request] = float(models.models.mean_ms[chosen[0]]), float(true_ms[0])


def _single(requests: Requests, index: slice, wait_ms: float) -> Requests:
    """A single one of the requests, with its wait."""
    reply_ms, link_ms = requests.reply_ms, requests.link_ms
    return Requests(
        requests.sla_ms[index], requests.upload_ms[index], requests.return_ms[index], np.full((1, 1), wait_ms),
        requests.device_top1, None if reply_ms is None else reply_ms[index],
        link_ms if link_ms is None or len(link_ms) == 1 else link_ms[index],
    )  # fmt: skip
