"""Whether the endpoint may be asked: what its failures, its refusals and its own words allow."""

from __future__ import annotations

import logging
from random import SystemRandom
from time import perf_counter

from ondevice.errors import FailureKind, UpstreamError
from ondevice.resilience.breaker import Breaker, spread
from ondevice.resilience.pushback import Pushback
from ondevice.resilience.retry_budget import RetryBudget

_log = logging.getLogger("ondevice.client")

# Failures that another try at once does not mend.
_CERTAIN = (FailureKind.REFUSED, FailureKind.DENIED, FailureKind.UNTRUSTED)
# Failures that say nothing of whether the endpoint is well.
_NO_FAULT = (FailureKind.BUSY, FailureKind.REJECTED)


class CloudHealth:
    """problem: what the last failure was, until something succeeds. breaker: whether requests may be sent. budget:
    whether more may be sent than each request's first. pushback: who is held back, because the endpoint said so.
    """

    def __init__(self) -> None:
        self.problem: UpstreamError | None = None
        # The system's randomness: neither phones that start together nor the children of a fork go on together.
        self.breaker, self.budget, self.pushback = Breaker(spread(SystemRandom())), RetryBudget(), Pushback()

    def held_ms(self, sla_ms: float) -> float:
        """How long a request with this deadline is to be held back; 0.0: not at all."""
        return self.pushback.held_ms(perf_counter(), sla_ms)

    def failed(self, error: UpstreamError, sla_ms: float | None = None) -> bool:
        """A request, or asking for the models, has failed. sla_ms: the request's deadline. Whether the breaker opened.

        A refusal is not a failure, and a late reply may be the network's. But where a probe is refused, which asks for
        no work, the endpoint is not back yet, and the next one is due.
        """
        if error.failure in _NO_FAULT:
            if error.retry_after_ms is not None:
                self.pushback.said(perf_counter(), error.retry_after_ms, sla_ms if error.for_time else None)
            if not self.breaker.closed:
                self.breaker.failed(perf_counter())
            return False
        if error.failure is not FailureKind.LATE:
            self.budget.failed()
        if self.problem is None or error.failure != self.problem.failure:
            _log.warning("the cloud fails: %s", error)
        self.problem = error
        return self.breaker.failed(perf_counter(), at_once=error.failure in _CERTAIN)

    def succeeded(self) -> bool:
        """It has answered. Whether the breaker closed."""
        self.budget.succeeded()
        if self.problem:
            _log.warning("the cloud answers again")
        self.problem = None
        return self.breaker.succeeded()
