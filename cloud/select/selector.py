"""Which model a request gets: the policy, asked with the queue and the times of this moment."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from functools import partial

import numpy as np

from ondevice.cloud.backends.backend import Backend
from ondevice.cloud.select.admission import Admission
from ondevice.cloud.select.admitted import AdmissionOptions, AdmittedTicket, Again
from ondevice.cloud.select.arrival import Arrival
from ondevice.cloud.select.availability import Availability
from ondevice.cloud.select.choice import Choice, Place, Problem
from ondevice.cloud.select.expectations import Expectations
from ondevice.cloud.select.rules import Rules
from ondevice.errors import ProtocolError, RefusedError, UsageError
from ondevice.protocol.served import ServedModel, Work
from ondevice.selection import anytime, policies
from ondevice.selection.problem import Models, Requests
from ondevice.timing.arrays import FloatArray

# Several answers are chosen by what they add to expected effective accuracy, as this rule chooses one.
_ANYTIME = "effective"
# Of what strangers may name so much is remembered: more than any operator has, and little memory.
_KEPT = 256

_Rule = Callable[[Models, Requests], FloatArray]


class Selector:
    """Chooses among the models of all backends that are available now. rng: for the policies that draw.

    available: which these are. expectations: of requests' ways through the server; to be told what came of a choice.
    """

    def __init__(self, backends: Sequence[Backend], rules: Rules, rng: np.random.Generator) -> None:
        self.backends, self.rules, self._rng = tuple(backends), rules, rng
        self._policies: dict[str, _Rule] = {}
        self._policy(rules.policy)
        self.available, self.expectations = Availability(backends), Expectations(rules)
        self._admission = Admission(rules, self.expectations)
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

    def ticket(self, choice: Choice, arrival: Arrival, work: Work, without: Collection[Place] = ()) -> AdmittedTicket:
        """The turn of a request for which this choice was made; none of `without` may take its model's place."""
        return self._ticket(choice, arrival, work, lambda ms: self.choose_again(arrival, choice.backend, ms, without))

    def fixed_ticket(self, choice: Choice, arrival: Arrival, work: Work) -> AdmittedTicket:
        """The turn of a request whose model is chosen for good."""
        return self._ticket(choice, arrival, work, None)

    def _ticket(self, choice: Choice, arrival: Arrival, work: Work, again: Again | None) -> AdmittedTicket:
        due = arrival.received + choice.budget_ms / 1e3
        expires = due if self.rules.refuse else math.inf
        return AdmittedTicket(
            choice,
            work,
            AdmissionOptions(
                due, expires, self.rules.keep, again, self.expectations.pressed, partial(self._expired, arrival)
            ),
        )

    def _expired(self, arrival: Arrival, choice: Choice) -> RefusedError:
        self.expectations.crowded_out(choice.budget_ms)
        message = f"no model could answer within {choice.problem.network.sla_ms:g} ms: others came first"
        back_ms = choice.problem.back_ms(self.expectations.queue_ms(choice, arrival), self.rules.keep)
        return RefusedError(message, back_ms / 1e3, for_time=True)

    def _chosen(
        self, arrival: Arrival, backends: Sequence[Backend], still_ms: float | None, without: Collection[Place]
    ) -> Choice:
        policy = arrival.parameters.policy or self.rules.policy
        rule = self._policy(policy)
        problem = self.expectations.problem(self.available.candidates(backends, without), arrival, still_ms)
        self._admission.check(problem, self.rules.admit if still_ms is None else self.rules.keep)
        chosen = 0
        if len(problem.models) > 1:
            chosen = int(policies.draw(rule(problem.models, problem.requests), self._rng)[0])
            if still_ms is None and problem.saturated and problem.harms[chosen]:  # by a rule that is blind to waits
                self._admission.refuse(problem)
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
        problem = self.expectations.problem(self.available.candidates(self.backends), arrival)
        chains = problem.candidates.chains(most, problem.upload)
        row = int(anytime.choose(problem.models, problem.requests, chains)[0])
        choices = [Choice(problem, policy, chosen) for chosen in chains[row]]
        self._let_in(choices[0])
        return choices

    def admit_named(self, served: ServedModel, backend: Backend, arrival: Arrival) -> Choice:
        """Admit a request for a model that the client named. Raises RefusedError where it cannot be in time."""
        problem = self.expectations.problem(self.available.only(served, backend), arrival)
        self._admission.check(problem, self.rules.admit)
        return self._let_in(Choice(problem, "named", 0))

    def _let_in(self, choice: Choice) -> Choice:
        self.expectations.admitted(choice)
        return choice

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
        chosen = int(np.argmax(rule(problem.models, problem.with_less_work(cold).requests)[0]))
    backend, row = candidates.places[chosen]
    backend.record_demand(backend.models[row].name)
