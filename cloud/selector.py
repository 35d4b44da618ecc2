"""Which model a request gets: the policy, asked with the queue and the times of this moment."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np

from ondevice.cloud.ask import Ask
from ondevice.cloud.backend import Backend, Served
from ondevice.errors import ProtocolError, RefusedError, UsageError
from ondevice.profile import LEVELS
from ondevice.selection import policies
from ondevice.selection.ontime import on_time
from ondevice.selection.problem import Models, Requests

NAME = "cnnselect"
# Of what strangers may name, or what changes, so much is remembered.
_KEPT = 256
_P90 = int(np.searchsorted(LEVELS, 0.9 - 1e-9))
_Vector = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Rules:
    """What the operator set. policy: as `policies.find` takes it. sla_ms: for requests that name none.

    refuse: whether work that cannot be done in time is refused when others wait, or done all the same.
    admit: the least chance to be on time with which work is accepted then; keep: the least with which it is begun.
    """

    policy: str = "effective"
    sla_ms: float = 1000.0
    refuse: bool = True
    admit: float = 0.9
    keep: float = 0.5


class Arrival(NamedTuple):
    """A request as far as the choice goes. upload_ms: as measured. received: its last byte, by perf_counter."""

    ask: Ask
    upload_ms: float
    size_bytes: int
    received: float


_Places = tuple[tuple[Backend, int], ...]
_Rule = Callable[[Models, Requests], _Vector]


class Problem(NamedTuple):
    """A choice to be made: the backend and row of each model, their times, and the request."""

    places: _Places
    models: Models
    requests: Requests


class _Gathered:
    """The models at these places, which can stand together as what a policy takes."""

    def __init__(self, places: _Places) -> None:
        self._names = tuple(backend.models[row].name for backend, row in places)
        self._top1 = np.array([backend.models[row].top1 or 0.0 for backend, row in places])
        self._tables = [(b.table, np.array([row for c, row in places if c is b])) for b in _backends(places)]
        self._versions: tuple[int, ...] = ()

    def models(self) -> Models:
        """With the times of this moment."""
        versions = tuple(table.version for table, _ in self._tables)
        if versions != self._versions:
            times = [(t.mean_ms[rows], t.std_ms[rows], t.quantiles_ms[rows]) for t, rows in self._tables]
            mean_ms, std_ms, quantiles_ms = (
                times[0] if len(times) == 1 else map(np.concatenate, zip(*times, strict=True))
            )
            self._made = Models(self._names, self._top1, mean_ms, std_ms, quantiles_ms)
            self._versions = versions
        return self._made


class Choice(NamedTuple):
    """A model for a request, and what was known when it was chosen. policy: by which rule."""

    problem: Problem
    policy: str
    chosen: int

    @property
    def backend(self) -> Backend:
        """Where it runs."""
        return self.problem.places[self.chosen][0]

    @property
    def served(self) -> Served:
        """The model."""
        backend, row = self.problem.places[self.chosen]
        return backend.models[row]

    @property
    def budget_ms(self) -> float:
        """What upload and reply leave of the deadline."""
        return float(self.problem.requests.budget_ms[0])

    @property
    def mean_ms(self) -> float:
        """The whole, upload and reply included, in the mean."""
        return self._around_ms + float(self.problem.models.mean_ms[self.chosen])

    @property
    def p90_ms(self) -> float:
        """The same with the 90th percentile of the inference."""
        return self._around_ms + float(self.problem.models.quantiles_ms[self.chosen, _P90])

    @property
    def probability_on_time(self) -> float:
        """The chance that the client has the reply within its deadline."""
        return float(on_time(self.problem.models, self.problem.requests)[0, self.chosen])

    @property
    def _around_ms(self) -> float:
        requests = self.problem.requests
        return float(requests.sla_ms[0]) - self.budget_ms + float(requests.wait_ms[0, self.chosen])


class Selector:
    """Chooses among the models of all backends that are available now. rng: for the policies that draw."""

    def __init__(self, backends: Sequence[Backend], rules: Rules, rng: np.random.Generator) -> None:
        self.backends, self.rules, self._rng = tuple(backends), rules, rng
        self._policies: dict[str, _Rule] = {}
        self._policy(rules.policy)
        self._models: dict[_Places, _Gathered] = {}
        common_labels([served for backend in backends for served in backend.models])

    def choose(self, arrival: Arrival, without: Backend | None = None) -> Choice:
        """A model for this request, not at `without`, which has just failed.

        Raises RefusedError where none can be in time, and ProtocolError for an unknown policy.
        """
        return self._chosen(arrival, [b for b in self.backends if b is not without], queued=True)

    def choose_again(self, arrival: Arrival, backend: Backend) -> Choice:
        """The same for work whose turn has come at `backend`, so that only that is left."""
        return self._chosen(arrival, [backend], queued=False)

    def _chosen(self, arrival: Arrival, backends: Sequence[Backend], queued: bool) -> Choice:
        policy = arrival.ask.policy or self.rules.policy
        rule = self._policy(policy)
        places = tuple((backend, row) for backend in backends for row in _rows(backend))
        if not places:
            raise RefusedError("no model with a known accuracy is available now", 1)
        problem = self._problem(places, arrival, queued)
        chosen = 0
        if len(places) > 1:
            chosen = int(policies.draw(rule(problem.models, problem.requests), self._rng)[0])
        if any(b.counts_wants for b, _ in places):
            _count_want(problem, rule, chosen)
        self._refuse_hopeless(problem, self.rules.admit if queued else self.rules.keep)
        return Choice(problem, policy, chosen)

    def judge(self, served: Served, backend: Backend, arrival: Arrival) -> Choice:
        """The same for a model that the client named. Raises RefusedError."""
        problem = self._problem(((backend, backend.models.index(served)),), arrival, queued=True)
        self._refuse_hopeless(problem, self.rules.admit)
        return Choice(problem, "named", 0)

    def _refuse_hopeless(self, problem: Problem, least: float) -> None:
        places, models, requests = problem
        if not self.rules.refuse or not all(backend.crowded for backend, _ in places):
            return
        spare_ms = requests.budget_ms[0] - requests.wait_ms[0]
        if (spare_ms > models.quantiles_ms[:, -1]).any():  # certain: no chances to work out
            return
        if float(on_time(models, requests).max()) < least:
            sla_ms, soonest_ms = float(requests.sla_ms[0]), float(requests.wait_ms.min())
            raise RefusedError(
                f"no model can answer within {sla_ms:g} ms now: the queue takes {soonest_ms:.0f} ms",
                math.ceil(soonest_ms / 1e3),
            )

    def _problem(self, places: _Places, arrival: Arrival, queued: bool) -> Problem:
        ask = arrival.ask
        upload_ms = arrival.upload_ms if ask.upload_ms is None else ask.upload_ms
        elapsed_ms = (perf_counter() - arrival.received) * 1e3
        ahead = {b: (b.ahead_ms if queued else b.after_wait_ms)(arrival.size_bytes) for b in _backends(places)}
        requests = Requests.one(
            sla_ms=self.rules.sla_ms if ask.sla_ms is None else ask.sla_ms,
            upload_ms=upload_ms,
            return_ms=upload_ms if ask.return_ms is None else ask.return_ms,
            wait_ms=np.array([ahead[backend][row] for backend, row in places]) + elapsed_ms,
            device_top1=ask.device_top1,
        )
        return Problem(places, self._gathered(places), requests)

    def _gathered(self, places: _Places) -> Models:
        """The models' times now; made anew only when one of them has changed."""
        known = self._models.get(places)
        if known is None:
            if len(self._models) >= _KEPT:  # as models come and go
                self._models.clear()
            known = self._models[places] = _Gathered(places)
        return known.models()

    def _policy(self, text: str) -> _Rule:
        if text not in self._policies:
            try:
                found = policies.find(text)
            except UsageError as error:
                raise ProtocolError(str(error)) from error
            if len(self._policies) >= _KEPT:
                self._policies.clear()
            self._policies[text] = found
        return self._policies[text]


def common_labels(models: Sequence[Served]) -> tuple[str, ...]:
    """The label list that all models share. Raises UsageError where two differ, for an index would mean two things."""
    if not models:
        raise UsageError("no model to serve: give --models or --upstream")
    first = models[0]
    for other in models[1:]:
        if other.labels != first.labels:
            raise UsageError(
                f"{other.name} has other labels than {first.name} ({len(other.labels)} and {len(first.labels)}): "
                "one endpoint serves models with the same classes; start another for it"
            )
    return first.labels


def _backends(places: _Places) -> list[Backend]:
    return list(dict.fromkeys(backend for backend, _ in places))


def _count_want(problem: Problem, rule: _Rule, chosen: int) -> None:
    """Tell a backend that cannot hold all its models which one would be best, were all of them loaded."""
    places, models, requests = problem
    loading = {backend: backend.loading_ms() for backend in _backends(places)}
    cold = np.array([loading[backend][row] for backend, row in places])
    if cold.any():
        warm = dataclasses.replace(requests, wait_ms=requests.wait_ms - cold)
        chosen = int(np.argmax(rule(models, warm)[0]))
    backend, row = places[chosen]
    backend.want(backend.models[row].name)


def _rows(backend: Backend) -> list[int]:
    return [
        row for row, served in enumerate(backend.models) if served.top1 is not None and backend.available(served.name)
    ]
