"""Who is let in: refused is what cannot be in time, or would make late what waits already."""

from __future__ import annotations

from typing import NoReturn

import numpy as np

from ondevice.cloud.select.choice import Problem
from ondevice.cloud.select.expectations import Expectations
from ondevice.cloud.select.rules import Rules
from ondevice.errors import RefusedError
from ondevice.selection.ontime import on_time
from ondevice.timing.quantiles import chance


class Admission:
    """Refuses while all workers have something to do. expectations: told of what is refused."""

    def __init__(self, rules: Rules, expectations: Expectations) -> None:
        self._rules, self._expectations = rules, expectations

    def check(self, problem: Problem, least: float) -> None:
        """Raises RefusedError where no model is in time with at least this probability."""
        if self._rules.refuse and problem.saturated and not _is_likely(problem, least):
            self.refuse(problem)

    def refuse(self, problem: Problem) -> NoReturn:
        """Raises RefusedError."""
        self._expectations.refused(problem)
        soonest_ms = float(problem.wait_ms.min())
        reason = f"the queue takes {soonest_ms:.0f} ms"
        if problem.harms.all():
            reason = "those that wait already would be late"
        message = f"no model can answer within {problem.network.sla_ms:g} ms now: {reason}"
        raise RefusedError(message, problem.back_ms(problem.queue_ms, self._rules.keep) / 1e3, for_time=True)


def _is_likely(problem: Problem, least: float) -> bool:
    """Whether any model will do: mostly that with the shortest longest time does, or two look-ups rule all of them out,
    a tenth of the work.
    """
    surest, worst_ms = problem.models.surest
    spare_ms = problem.budget_ms - problem.wait_ms[surest] - problem.residual_ms
    may_be = not problem.harms[surest]
    if may_be and spare_ms[-1] > worst_ms:
        return True
    if not problem.may_be_on_time(least):
        return False
    if may_be and np.add.reduce(chance(problem.models.quantiles_ms[surest], spare_ms)) >= least * len(spare_ms):
        return True
    return float(on_time(problem.models, problem.with_certain_reply.requests).max()) >= least
