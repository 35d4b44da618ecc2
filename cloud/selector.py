"""Which model a request gets: the policy, asked with the queue and the times of this moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ondevice.cloud.ask import SHORTEST_MS, Ask
from ondevice.cloud.backend import Backend
from ondevice.cloud.slip import Slip
from ondevice.errors import ProtocolError, RefusedError, UsageError
from ondevice.protocol.served import Served
from ondevice.selection import anytime, policies
from ondevice.selection.ontime import on_time
from ondevice.selection.problem import Models, Requests, filled
from ondevice.selection.replies import Law
from ondevice.timing.arrays import FloatArray
from ondevice.timing.bounds import LONGEST_MS
from ondevice.timing.profile import LEVELS

# Several answers are chosen by what they add to expected effective accuracy, as this rule chooses one.
_ANYTIME = "effective"
# Of what strangers may name, or what changes, so much is remembered.
_KEPT = 256
# A wait that is shorter by less than this brings no other model within reach.
_SURPRISE_MS = 1.0
_P90 = int(np.searchsorted(LEVELS, 0.9 - 1e-9))


@dataclass(frozen=True)
class Rules:
    """What the operator set. policy: as `policies.find` takes it. sla_ms: for requests that name none.

    refuse: whether work that cannot be done in time is refused when others wait, or done all the same.
    admit: the least chance to be on time with which work is accepted then; keep: the least with which it is begun.
    anytime: how many models may answer one request that asks for it. Raises UsageError for what cannot be obeyed.
    """

    policy: str = "effective"
    sla_ms: float = 1000.0
    refuse: bool = True
    admit: float = 0.99
    keep: float = 0.8
    anytime: int = 2

    def __post_init__(self) -> None:
        policies.find(self.policy)
        if not SHORTEST_MS <= self.sla_ms <= LONGEST_MS:
            raise UsageError(f"the deadline must be from {SHORTEST_MS:g} to {LONGEST_MS:g} ms, not {self.sla_ms:g}")


class Arrival(NamedTuple):
    """A request as far as the choice goes. upload_ms: as measured. received: its last byte, by perf_counter."""

    ask: Ask
    upload_ms: float
    size_bytes: int
    received: float


_Places = tuple[tuple[Backend, int], ...]
_Rule = Callable[[Models, Requests], FloatArray]


class Network(NamedTuple):
    """A request's deadline and way, ms: what policies read, as far as it does not depend on the model."""

    sla_ms: float
    upload_ms: float
    return_ms: float
    device_top1: float

    @property
    def budget_ms(self) -> float:
        """What upload and reply leave of the deadline."""
        return self.sla_ms - self.upload_ms - self.return_ms


class Gathered:
    """The models at these places, each a backend and a row of it, which stand together as what a policy takes."""

    def __init__(self, places: _Places) -> None:
        self.places = places
        self._names = tuple(backend.models[row].name for backend, row in places)
        self._top1 = np.array([backend.models[row].top1 or 0.0 for backend, row in places])
        backends = dict.fromkeys(backend for backend, _ in places)
        self.groups = [(b, np.array([row for c, row in places if c is b])) for b in backends]
        self._versions: tuple[int, ...] = ()
        self._chains: dict[int, anytime.Chains] = {}
        # The model with the shortest longest time, and that time, ms.
        self.surest: tuple[int, float]

    def across(self, times_ms: Callable[[Backend], FloatArray]) -> FloatArray:
        """What each backend tells of all its models, [m] of these."""
        told = [times_ms(backend)[rows] for backend, rows in self.groups]
        return told[0] if len(told) == 1 else np.concatenate(told)

    def chains(self, most: int) -> anytime.Chains:
        """The sets of up to `most` models that may answer one request; smaller ones where they would be too many."""
        most = anytime.largest(len(self._names), most)
        if most not in self._chains:
            self._chains[most] = anytime.Chains.of(self.models(), most)
        return self._chains[most]

    def models(self) -> Models:
        """With the times of this moment; made anew only when one of them has changed."""
        versions = tuple(backend.table.version for backend, _ in self.groups)
        if versions != self._versions:
            tables = [(backend.table, rows) for backend, rows in self.groups]
            times = [(t.mean_ms[rows], t.std_ms[rows], t.quantiles_ms[rows]) for t, rows in tables]
            mean_ms, std_ms, quantiles_ms = map(np.concatenate, zip(*times, strict=True))
            self._made = Models(self._names, self._top1, mean_ms, std_ms, quantiles_ms)
            row = int(quantiles_ms[:, -1].argmin())
            self.surest = row, float(quantiles_ms[row, -1])
            self._versions = versions
        return self._made


class Problem(NamedTuple):
    """A choice to be made: among which models, their times, the request, and wait_ms [m], all but the inference.

    queue_ms [m]: what newcomers wait for a worker. work_ms [m]: the part of the wait that is the server's work.
    crowded: whether all backends have something to do. slip_ms: by how much all but the inference took longer than
    expected lately, equally likely points; shuffled_ms: the same, not by size. law: of the reply, where it is known.
    """

    gathered: Gathered
    models: Models
    network: Network
    wait_ms: FloatArray
    queue_ms: FloatArray
    work_ms: FloatArray
    crowded: bool
    slip_ms: FloatArray
    shuffled_ms: FloatArray
    law: Law | None

    @property
    def requests(self) -> Requests:
        """The request as policies take it."""
        sla_ms, upload_ms, return_ms, device_top1 = np.array(self.network)[:, None]
        # What the network and the server add are independent: each point of the one goes with some point of the other.
        law_ms = self.law.given(self.network.upload_ms) if self.law else self.network.return_ms
        return Requests(
            sla_ms, upload_ms, return_ms, self.wait_ms[None], device_top1, (law_ms + self.shuffled_ms)[None],
            fill=self._fill[None], work_ms=self.work_ms[None],
        )  # fmt: skip

    @property
    def served(self) -> Problem:
        """The same as far as the server can help it: the reply takes return_ms for certain."""
        return self._replace(law=None)

    @property
    def _fill(self) -> FloatArray:
        surest, worst_ms = self.gathered.surest
        return filled(self.queue_ms, self.network.budget_ms - self.slip_ms[-1] - worst_ms - self.work_ms[surest])


class Choice(NamedTuple):
    """A model for a request, and what was known when it was chosen. policy: by which rule."""

    problem: Problem
    policy: str
    chosen: int

    @property
    def backend(self) -> Backend:
        """Where it runs."""
        return self.problem.gathered.places[self.chosen][0]

    @property
    def served(self) -> Served:
        """The model."""
        backend, row = self.problem.gathered.places[self.chosen]
        return backend.models[row]

    @property
    def budget_ms(self) -> float:
        """What upload and reply leave of the deadline."""
        return self.problem.network.budget_ms

    @property
    def mean_ms(self) -> float:
        """The whole, upload and reply included, in the mean."""
        return self._around_ms + float(self.problem.models.mean_ms[self.chosen])

    @property
    def p90_ms(self) -> float:
        """The same with the 90th percentile of the inference."""
        return self._around_ms + float(self.problem.models.quantiles_ms[self.chosen, _P90])

    def holds(self, longer_ms: float) -> bool:
        """Whether it would be made again after a wait that was so much longer than foreseen, or shorter.

        It would if it is in time for certain even so, and no more accurate model has come within reach.
        """
        models, network, wait_ms = self.problem.models, self.problem.network, self.problem.wait_ms
        worst_ms = models.quantiles_ms[self.chosen, -1] + self.problem.slip_ms[-1]
        spare_ms = network.budget_ms - wait_ms[self.chosen] - worst_ms
        if longer_ms > spare_ms:
            return False
        return longer_ms > -_SURPRISE_MS or bool(models.top1[self.chosen] >= models.top1.max())

    @property
    def probability_on_time(self) -> float:
        """The chance that the client has the reply within its deadline."""
        return float(on_time(self.problem.models, self.problem.requests)[0, self.chosen])

    @property
    def _around_ms(self) -> float:
        network, wait_ms = self.problem.network, float(self.problem.wait_ms[self.chosen])
        return network.upload_ms + wait_ms + network.return_ms


class Selector:
    """Chooses among the models of all backends that are available now. rng: for the policies that draw."""

    def __init__(self, backends: Sequence[Backend], rules: Rules, rng: np.random.Generator) -> None:
        self.backends, self.rules, self._rng = tuple(backends), rules, rng
        self._policies: dict[str, _Rule] = {}
        self._policy(rules.policy)
        # The rows of those that can be chosen at all, and their names.
        self._rows = {backend: _rows(backend) for backend in backends}
        # By which of them are available, and by name.
        self._models: dict[Hashable, Gathered] = {}
        # Apart for when there is room and when there is none: they have little in common.
        self._slips = {crowded: Slip(doubled=crowded) for crowded in (False, True)}
        common_labels([served for backend in backends for served in backend.models])

    def choose(self, arrival: Arrival, without: Backend | None = None) -> Choice:
        """A model for this request, not at `without`, which has just failed.

        Raises RefusedError where none can be in time, and ProtocolError for an unknown policy.
        """
        return self._chosen(arrival, [b for b in self.backends if b is not without])

    def choose_again(self, arrival: Arrival, backend: Backend, still_ms: float) -> Choice:
        """The same for work whose turn comes at `backend` in `still_ms`, so that only that is left."""
        return self._chosen(arrival, [backend], still_ms)

    def _chosen(self, arrival: Arrival, backends: Sequence[Backend], still_ms: float | None = None) -> Choice:
        policy = arrival.ask.policy or self.rules.policy
        rule = self._policy(policy)
        problem = self._problem(self._available(backends), arrival, still_ms)
        self._refuse_hopeless(problem, self.rules.admit if still_ms is None else self.rules.keep)
        chosen = 0
        if len(problem.models) > 1:
            chosen = int(policies.draw(rule(problem.models, problem.requests), self._rng)[0])
        if any(b.counts_wants for b in backends):
            _count_want(problem, rule, chosen)
        return Choice(problem, policy, chosen)

    def choose_several(self, arrival: Arrival) -> Sequence[Choice]:
        """Models that are to answer this request side by side, the better ones later: see `selection.anytime`.

        Only one where the client asks for no more, the operator does not allow it, another rule than `effective` is
        used, memory is short, or others could need the workers. Raises as `choose` does.
        """
        if arrival.ask.anytime < 2:
            return [self.choose(arrival)]
        most = min(arrival.ask.anytime, self.rules.anytime, *(backend.room for backend in self.backends))
        policy = arrival.ask.policy or self.rules.policy
        if most < 2 or policy != _ANYTIME or any(backend.counts_wants for backend in self.backends):
            return [self.choose(arrival)]
        problem = self._problem(self._available(self.backends), arrival)
        chains = problem.gathered.chains(most)
        row = int(anytime.choose(problem.models, problem.requests, chains)[0])
        return [Choice(problem, policy, chosen) for chosen in chains[row]]

    def settle(self, choice: Choice, around_ms: float) -> None:
        """Learn from what all but the inference took in the end, from the request's last byte to its reply."""
        problem = choice.problem
        self._slips[problem.crowded].add(around_ms - float(problem.wait_ms[choice.chosen]))

    def judge(self, served: Served, backend: Backend, arrival: Arrival) -> Choice:
        """The same for a model that the client named. Raises RefusedError."""
        places = ((backend, backend.models.index(served)),)
        problem = self._problem(self._gathered((backend, served.name), lambda: places), arrival)
        self._refuse_hopeless(problem, self.rules.admit)
        return Choice(problem, "named", 0)

    def _refuse_hopeless(self, problem: Problem, least: float) -> None:
        gathered, models, network, wait_ms, slip_ms = (
            problem.gathered, problem.models, problem.network, problem.wait_ms, problem.slip_ms,
        )  # fmt: skip
        if not self.rules.refuse or not problem.crowded:
            return
        surest, worst_ms = gathered.surest
        spare_ms = network.budget_ms - wait_ms[surest]
        if spare_ms - slip_ms[-1] > worst_ms:  # certain: no chances to work out
            return
        # One model that is likely enough in time will do, and this is a tenth of the work for all of them.
        if float(np.interp(spare_ms - slip_ms, models.quantiles_ms[surest], LEVELS).mean()) >= least:
            return
        if spare_ms <= 0 or float(on_time(models, problem.served.requests).max()) < least:
            soonest_ms = float(wait_ms.min())
            self._slips[problem.crowded].refused()
            raise RefusedError(
                f"no model can answer within {network.sla_ms:g} ms now: the queue takes {soonest_ms:.0f} ms",
                math.ceil(soonest_ms / 1e3),
            )

    def _available(self, backends: Sequence[Backend]) -> Gathered:
        """All that can be chosen now. Raises RefusedError where that is nothing."""
        on = tuple(tuple(map(backend.available, self._rows[backend].values())) for backend in backends)
        gathered = self._gathered((tuple(backends), on), lambda: self._places(backends, on))
        if not gathered.places:
            raise RefusedError("no model with a known accuracy is available now", 1)
        return gathered

    def _places(self, backends: Sequence[Backend], on: Sequence[Sequence[bool]]) -> _Places:
        rows = (
            (backend, zip(self._rows[backend], flags, strict=True)) for backend, flags in zip(backends, on, strict=True)
        )
        return tuple((backend, row) for backend, of_it in rows for row, is_on in of_it if is_on)

    def _problem(self, gathered: Gathered, arrival: Arrival, still_ms: float | None = None) -> Problem:
        models, network = gathered.models(), self._network(arrival)
        queue_ms = gathered.across(lambda backend: backend.queue_ms(arrival.size_bytes))
        work_ms = gathered.across(lambda backend: backend.around_ms(arrival.size_bytes))
        # The queue is what it waits for, unless its turn has come.
        turn_ms = queue_ms if still_ms is None else still_ms
        wait_ms = work_ms + turn_ms + (perf_counter() - arrival.received) * 1e3
        crowded = all(backend.crowded for backend, _ in gathered.groups)
        slip = self._slips[crowded]
        law = arrival.ask.reply
        return Problem(
            gathered, models, network, wait_ms, queue_ms, work_ms, crowded, slip.points_ms, slip.shuffled_ms, law
        )

    def _network(self, arrival: Arrival) -> Network:
        ask = arrival.ask
        upload_ms = arrival.upload_ms if ask.upload_ms is None else ask.upload_ms
        return Network(
            self.rules.sla_ms if ask.sla_ms is None else ask.sla_ms,
            upload_ms,
            upload_ms if ask.return_ms is None else ask.return_ms,
            ask.device_top1,
        )

    def _gathered(self, key: Hashable, places: Callable[[], _Places]) -> Gathered:
        known = self._models.get(key)
        if known is None:
            if len(self._models) >= _KEPT:  # as models come and go
                self._models.clear()
            known = self._models[key] = Gathered(places())
        return known

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
        raise UsageError("no model to serve: name one, or another server")
    first = models[0]
    for other in models[1:]:
        if other.labels != first.labels:
            raise UsageError(
                f"{other.name} has other labels than {first.name} ({len(other.labels)} and {len(first.labels)}): "
                "one endpoint serves models with the same classes; start another for it"
            )
    return first.labels


def _count_want(problem: Problem, rule: _Rule, chosen: int) -> None:
    """Tell a backend that cannot hold all its models which one would be best, were all of them loaded."""
    gathered = problem.gathered
    cold = gathered.across(lambda backend: backend.loading_ms())
    if cold.any():
        warm = problem._replace(wait_ms=problem.wait_ms - cold, work_ms=problem.work_ms - cold)
        chosen = int(np.argmax(rule(problem.models, warm.requests)[0]))
    backend, row = gathered.places[chosen]
    backend.want(backend.models[row].name)


def _rows(backend: Backend) -> dict[int, str]:
    return {row: served.name for row, served in enumerate(backend.models) if served.top1 is not None}
