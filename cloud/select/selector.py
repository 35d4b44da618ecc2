"""Which model a request gets: the policy, asked with the queue and the times of this moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import NamedTuple, NoReturn

import numpy as np

from ondevice.cloud.backends.backend import Backend
from ondevice.cloud.select.admitted import AdmissionOptions, AdmittedTicket, Again
from ondevice.cloud.select.choice import Candidates, Choice, NetworkTimes, Place, Places, Problem
from ondevice.cloud.select.parameters import SHORTEST_MS, RequestParameters
from ondevice.cloud.select.pressure import Pressure
from ondevice.cloud.select.residual import Residuals
from ondevice.errors import ProtocolError, RefusedError, UsageError
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import ServedModel, Work
from ondevice.selection import anytime, policies
from ondevice.selection.ontime import on_time
from ondevice.selection.problem import Models, Requests
from ondevice.timing.arrays import FloatArray
from ondevice.timing.bounds import LONGEST_MS
from ondevice.timing.quantiles import chance

# Several answers are chosen by what they add to expected effective accuracy, as this rule chooses one.
_ANYTIME = "effective"
# Of what strangers may name, or what changes, so much is remembered: more than any operator has, and little memory.
_KEPT = 256
# Where nobody waits there is room for all, and no price.
_ENDLESS, _FREE = np.array([math.inf]), np.zeros(1)


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
    """A request as far as the choice goes. upload_ms: as measured. picture: as its header has it, or None for a tensor.

    received: its last byte, by perf_counter.
    """

    parameters: RequestParameters
    upload_ms: float
    picture: PictureHead | None
    received: float


_Rule = Callable[[Models, Requests], FloatArray]


class Selector:
    """Chooses among the models of all backends that are available now. rng: for the policies that draw."""

    def __init__(self, backends: Sequence[Backend], rules: Rules, rng: np.random.Generator) -> None:
        self.backends, self.rules, self._rng = tuple(backends), rules, rng
        self._policies: dict[str, _Rule] = {}
        self._policy(rules.policy)
        # The rows of those that can be chosen at all, and their names.
        self._rows = {backend: _rows(backend) for backend in backends}
        # By which of them are available, and by name.
        self._models: dict[Hashable, Candidates] = {}
        # Apart for when there is room and when there is none: they have little in common.
        self._residuals = {saturated: Residuals(doubled=saturated) for saturated in (False, True)}
        self._pressure = Pressure()
        common_labels([served for backend in backends for served in backend.models])

    def choose(self, arrival: Arrival, without: Collection[Place] = ()) -> Choice:
        """A model for this request, none of `without`, which have just failed it.

        Raises RefusedError where none can be in time, and ProtocolError for an unknown policy.
        """
        return self._let_in(self._chosen(arrival, self.backends, None, without))

    def choose_again(
        self, arrival: Arrival, backend: Backend, still_ms: float, without: Collection[Place] = ()
    ) -> Choice:
        """A model for work whose turn comes at `backend` in `still_ms`, so that only that is left of the wait.

        It was let in once: where every model makes others late, it gets the one that takes them least time.
        """
        return self._chosen(arrival, [backend], still_ms, without)

    def any_but(self, without: Collection[Place]) -> bool:
        """Whether any model can be chosen now that is none of these."""
        return any(any(flags) for flags in self._on([b for b in self.backends if b.ready()], without))

    def ticket(self, choice: Choice, arrival: Arrival, work: Work, without: Collection[Place] = ()) -> AdmittedTicket:
        """The turn of a request for which this choice was made; none of `without` may take its model's place."""
        return self._ticket(choice, arrival, work, lambda ms: self.choose_again(arrival, choice.backend, ms, without))

    def fixed_ticket(self, choice: Choice, arrival: Arrival, work: Work) -> AdmittedTicket:
        """The turn of a request whose model is chosen for good."""
        return self._ticket(choice, arrival, work, None)

    def _ticket(self, choice: Choice, arrival: Arrival, work: Work, again: Again | None) -> AdmittedTicket:
        due = arrival.received + choice.budget_ms / 1e3
        expires = due if self.rules.refuse else math.inf
        return AdmittedTicket(choice, work, AdmissionOptions(due, expires, self.rules.keep, again, self._expired))

    def _expired(self, choice: Choice) -> RefusedError:
        self._pressure.refused(choice.budget_ms)
        return RefusedError(f"no model could answer within {choice.problem.network.sla_ms:g} ms: others came first", 1)

    def _chosen(
        self, arrival: Arrival, backends: Sequence[Backend], still_ms: float | None, without: Collection[Place]
    ) -> Choice:
        policy = arrival.parameters.policy or self.rules.policy
        rule = self._policy(policy)
        problem = self._problem(self._available(backends, without), arrival, still_ms)
        self._refuse_hopeless(problem, self.rules.admit if still_ms is None else self.rules.keep)
        chosen = 0
        if len(problem.models) > 1:
            chosen = int(policies.draw(rule(problem.models, problem.requests), self._rng)[0])
            if still_ms is None and problem.saturated and problem.harms[chosen]:  # by a rule that is blind to waits
                self._refuse(problem)
        if any(b.counts_demand for b in backends):
            _record_demand(problem, rule, chosen)
        return Choice(problem, policy, chosen)

    def choose_several(self, arrival: Arrival) -> Sequence[Choice]:
        """Models that are to answer this request side by side, the better ones later: see `selection.anytime`.

        Only one where the client asks for no more, the operator does not allow it, another rule than `effective` is
        used, memory is short, or others could need the workers. Raises as `choose` does.
        """
        if arrival.parameters.anytime < 2:
            return [self.choose(arrival)]
        most = min(arrival.parameters.anytime, self.rules.anytime, *(backend.queue.room for backend in self.backends))
        policy = arrival.parameters.policy or self.rules.policy
        if most < 2 or policy != _ANYTIME or any(backend.counts_demand for backend in self.backends):
            return [self.choose(arrival)]
        problem = self._problem(self._available(self.backends), arrival)
        chains = problem.candidates.chains(most)
        row = int(anytime.choose(problem.models, problem.requests, chains)[0])
        return [Choice(problem, policy, chosen) for chosen in chains[row]]

    def observe(self, choice: Choice, overhead_ms: float) -> None:
        """Learn from what all but the inference took in the end, from the request's last byte to its reply."""
        problem, chosen = choice.problem, choice.chosen
        residual_ms = overhead_ms - float(problem.wait_ms[chosen])
        self._residuals[problem.saturated].add(residual_ms, float(problem.work_ms[chosen]))

    def admit_named(self, served: ServedModel, backend: Backend, arrival: Arrival) -> Choice:
        """Admit a request for a model that the client named. Raises RefusedError where it cannot be in time."""
        places = ((backend, backend.models.index(served)),)
        problem = self._problem(self._candidates((backend, served.name), lambda: places), arrival)
        self._refuse_hopeless(problem, self.rules.admit)
        return self._let_in(Choice(problem, "named", 0))

    def _let_in(self, choice: Choice) -> Choice:
        self._pressure.admitted()
        return choice

    def _refuse_hopeless(self, problem: Problem, least: float) -> None:
        candidates, models, network, wait_ms, residual_ms = (
            problem.candidates, problem.models, problem.network, problem.wait_ms, problem.residual_ms,
        )  # fmt: skip
        if not self.rules.refuse or not problem.saturated:
            return
        surest, worst_ms = candidates.surest
        spare_ms = network.budget_ms - wait_ms[surest]
        if not problem.harms[surest]:
            if spare_ms - residual_ms[-1] > worst_ms:  # certain: no chances to work out
                return
            # One model that is likely enough in time will do, and this is a tenth of the work for all of them.
            if float(chance(models.quantiles_ms[surest], spare_ms - residual_ms).mean()) >= least:
                return
        if spare_ms <= 0 or float(on_time(models, problem.served.requests).max()) < least:
            self._refuse(problem)

    def _refuse(self, problem: Problem) -> NoReturn:
        (surest, _), network = problem.candidates.surest, problem.network
        if network.budget_ms > problem.models.mean_ms[surest]:  # it is the others who are in the way
            self._pressure.refused(network.budget_ms)
        self._residuals[problem.saturated].refused()
        soonest_ms = float(problem.wait_ms.min())
        reason = f"the queue takes {soonest_ms:.0f} ms"
        if problem.harms.all():
            reason = "those that wait already would be late"
        raise RefusedError(
            f"no model can answer within {network.sla_ms:g} ms now: {reason}", math.ceil(soonest_ms / 1e3)
        )

    def _on(self, backends: Sequence[Backend], without: Collection[Place]) -> tuple[tuple[bool, ...], ...]:
        """For each of the backends' models whether it can be chosen now."""
        if not without:
            return tuple(tuple(map(backend.available, self._rows[backend].values())) for backend in backends)
        return tuple(
            tuple(b.available(name) and (b, row) not in without for row, name in self._rows[b].items())
            for b in backends
        )

    def _available(self, backends: Sequence[Backend], without: Collection[Place] = ()) -> Candidates:
        """All that can be chosen now. Raises RefusedError where that is nothing."""
        on = self._on(backends, without)
        candidates = self._candidates((tuple(backends), on), lambda: self._places(backends, on))
        if not candidates.places:
            raise RefusedError("no model with a known accuracy is available now", 1)
        return candidates

    def _places(self, backends: Sequence[Backend], on: Sequence[Sequence[bool]]) -> Places:
        rows = (
            (backend, zip(self._rows[backend], flags, strict=True)) for backend, flags in zip(backends, on, strict=True)
        )
        return tuple((backend, row) for backend, of_it in rows for row, is_on in of_it if is_on)

    def _problem(self, candidates: Candidates, arrival: Arrival, still_ms: float | None = None) -> Problem:
        models, network, now = candidates.models(), self._network(arrival), perf_counter()
        due = arrival.received + network.budget_ms / 1e3
        # The price is what newcomers like it would wait.
        like_it = due if still_ms is None else now + network.budget_ms / 1e3
        queue_ms = candidates.across(lambda backend: backend.queue.wait_ms(arrival.picture, like_it))
        work_ms = candidates.across(lambda backend: backend.times.overhead_ms(arrival.picture))
        # The queue is what it waits for, unless its turn has come.
        turn_ms = queue_ms if still_ms is None else still_ms
        wait_ms = work_ms + turn_ms + (now - arrival.received) * 1e3
        saturated = all(backend.queue.saturated for backend, _ in candidates.groups)
        residuals = self._residuals[saturated]
        room_ms, pressed = self._others(candidates, due, network.budget_ms) if saturated else (_ENDLESS, _FREE)
        if still_ms is not None:
            room_ms = np.maximum(room_ms, (models.mean_ms + work_ms).min())
        return Problem(
            candidates,
            models,
            network,
            wait_ms,
            queue_ms,
            work_ms,
            room_ms,
            pressed,
            saturated,
            residuals.points_ms,
            residuals.shuffled_ms,
            arrival.parameters.reply,
        )

    def _others(self, candidates: Candidates, due: float, budget_ms: float) -> tuple[FloatArray, FloatArray]:
        """For each model the room that those leave who wait for its backend, and by how much they press, [m]."""
        met = {backend: backend.queue.others(due) for backend, _ in candidates.groups}
        pressed = candidates.across(lambda b: np.full(len(b.models), self._pressure.raised(met[b].fill, budget_ms)))
        if not self.rules.refuse:
            return _ENDLESS, pressed
        return candidates.across(lambda b: np.full(len(b.models), met[b].room_ms)), pressed

    def _network(self, arrival: Arrival) -> NetworkTimes:
        given = arrival.parameters
        upload_ms = arrival.upload_ms if given.upload_ms is None else given.upload_ms
        return NetworkTimes(
            self.rules.sla_ms if given.sla_ms is None else given.sla_ms,
            upload_ms,
            upload_ms if given.return_ms is None else given.return_ms,
            given.device_top1,
        )

    def _candidates(self, key: Hashable, places: Callable[[], Places]) -> Candidates:
        known = self._models.get(key)
        if known is None:
            if len(self._models) >= _KEPT:  # as models come and go
                self._models.clear()
            known = self._models[key] = Candidates(places())
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


def common_labels(models: Sequence[ServedModel]) -> tuple[str, ...]:
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


def _record_demand(problem: Problem, rule: _Rule, chosen: int) -> None:
    """Tell a backend that cannot hold all its models which one would be best, were all of them loaded."""
    candidates = problem.candidates
    cold = candidates.across(lambda backend: backend.times.loading_ms())
    if cold.any():
        warm = problem._replace(wait_ms=problem.wait_ms - cold, work_ms=problem.work_ms - cold)
        chosen = int(np.argmax(rule(problem.models, warm.requests)[0]))
    backend, row = candidates.places[chosen]
    backend.record_demand(backend.models[row].name)


def _rows(backend: Backend) -> dict[int, str]:
    return {row: served.name for row, served in enumerate(backend.models) if served.top1 is not None}
