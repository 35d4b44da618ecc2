"""What is to be expected of a request's way through the server: from what is learned of its waits and delays."""

from __future__ import annotations

import math
from time import perf_counter

import numpy as np

from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.select.arrival import Arrival
from ondevice.cloud.select.choice import Candidates, Choice, NetworkTimes, Problem
from ondevice.cloud.select.pressure import Pressure
from ondevice.cloud.select.residual import Residuals, WaitError, WaitResiduals
from ondevice.cloud.select.rules import Rules
from ondevice.cloud.select.traffic import Traffic
from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import POINTS, SCATTERED

# Where nobody waits there is room for all, no price, and no wait that could be longer.
_ENDLESS, _FREE, _AS_FORESEEN = np.array([math.inf]), np.zeros(1), WaitError(np.zeros(POINTS), 0.0, 0.0)


class Expectations:
    """Puts the problem of a choice together, and learns from what came of it. traffic: what it was told, summed up."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        # Apart for when there is room and when there is none: they have little in common.
        self._ways = {saturated: Residuals(doubled=saturated) for saturated in (False, True)}
        self._waits, self.pressure, self.traffic = WaitResiduals(), Pressure(), Traffic()

    def problem(self, candidates: Candidates, arrival: Arrival, still_ms: float | None = None) -> Problem:
        """The choice among these for a request that comes now, or whose turn comes in still_ms."""
        upload = arrival.parameters.upload
        models, network, now = candidates.models(upload), self._network(arrival), perf_counter()
        budget_ms = network.budget_ms
        due = arrival.received + budget_ms / 1e3
        # The price is what newcomers like it would wait.
        like_it = due if still_ms is None else now + budget_ms / 1e3
        queue_ms = _queue_ms(candidates, arrival, like_it)
        work_ms = candidates.across(lambda backend: backend.times.work_ms(arrival.picture))
        around_ms = work_ms + candidates.spread([backend.times.way_ms for backend, _ in candidates.groups])
        # The queue is what it waits for, unless its turn has come.
        turn_ms = queue_ms if still_ms is None else still_ms
        wait_ms = around_ms + turn_ms + (now - arrival.received) * 1e3
        saturated = all(backend.queue.saturated for backend, _ in candidates.groups)
        way_ms = self._ways[saturated].points_ms
        longer, residual_ms, room_ms, pressed = _AS_FORESEEN, way_ms, _ENDLESS, _FREE
        if saturated:
            shortest_ms = float(np.minimum.reduce(queue_ms)) if still_ms is None else still_ms
            longer = self._waits.of(shortest_ms, models.slowest_ms)
            residual_ms = way_ms + longer.ms[SCATTERED]
            residual_ms.sort()
            room_ms, pressed = self._others(candidates, due, budget_ms)
        if still_ms is not None:
            room_ms = np.maximum(room_ms, (models.mean_ms + work_ms).min())
        return Problem(
            candidates,
            models,
            network,
            wait_ms,
            queue_ms,
            work_ms,
            around_ms,
            room_ms,
            pressed,
            saturated,
            way_ms,
            longer,
            residual_ms,
            arrival.parameters.reply,
            budget_ms,
            upload,
        )

    def queue_ms(self, choice: Choice, arrival: Arrival) -> FloatArray:
        """What a request like this one would wait by now for the models it could have had, [m]."""
        return _queue_ms(choice.problem.candidates, arrival, perf_counter() + choice.budget_ms / 1e3)

    def pressed(self, fill: float, budget_ms: float) -> float:
        """By how much a queue with this fill presses on a request, those counted that were refused; from 0 to 1."""
        return self.pressure.raised(min(fill * self._waits.longest, 1.0), budget_ms)

    def admitted(self, choice: Choice) -> None:
        """A request was let in with this choice."""
        self.pressure.admitted()
        self.traffic.admit(choice.fill if choice.problem.saturated else 0.0)

    def crowded_out(self, budget_ms: float) -> None:
        """A request with this budget was not let in for the others' sake, or had to be let go after all."""
        self.pressure.refused(budget_ms)
        self.traffic.crowd_out()

    def observe(self, choice: Choice, result: InferenceResult, server_ms: float) -> None:
        """Learn from an answer, server_ms after its request's last byte. choice: the one with which it was let in."""
        self.traffic.work(result.decode_ms + result.load_ms + (result.infer_ms if choice.backend.infers_here else 0.0))
        problem, chosen = choice.problem, choice.chosen
        foreseen_ms, work_ms = float(problem.queue_ms[chosen]), float(problem.work_ms[chosen])
        way_ms = server_ms - result.infer_ms - result.queue_ms
        self._ways[problem.saturated].observe(way_ms - float(problem.wait_ms[chosen]) + foreseen_ms, work_ms)
        if problem.saturated:
            # Who comes before it later is nobody's to foresee: others are let in only as far as it can wait.
            planned_ms = foreseen_ms + result.overtaken_ms
            self._waits.observe(result.queue_ms - planned_ms, planned_ms, problem.models.slowest_ms)

    def refused(self, problem: Problem) -> None:
        """Nothing could be in time."""
        (surest, _), budget_ms = problem.models.surest, problem.budget_ms
        if budget_ms > problem.models.mean_ms[surest]:  # it is the others who are in the way
            self.crowded_out(budget_ms)
        self._ways[problem.saturated].refused()
        self._waits.refused()

    def _others(self, candidates: Candidates, due: float, budget_ms: float) -> tuple[FloatArray, FloatArray]:
        """For each model the room that those leave who wait for its backend, and by how much they press, [m]."""
        met = [backend.queue.others(due) for backend, _ in candidates.groups]
        pressed = [self.pressed(others.fill, budget_ms) for others in met]
        room_ms = [others.room_ms for others in met] if self._rules.refuse else [math.inf]
        return candidates.spread(room_ms), candidates.spread(pressed)

    def _network(self, arrival: Arrival) -> NetworkTimes:
        given = arrival.parameters
        upload_ms = arrival.upload_ms if given.upload_ms is None else given.upload_ms
        return NetworkTimes(
            self._rules.sla_ms if given.sla_ms is None else given.sla_ms,
            upload_ms,
            upload_ms if given.return_ms is None else given.return_ms,
            given.device_top1,
        )


def _queue_ms(candidates: Candidates, arrival: Arrival, due: float) -> FloatArray:
    """The wait for a worker of what comes now and is due then, [m]."""
    return candidates.across(lambda backend: backend.queue.wait_ms(arrival.picture, due))
