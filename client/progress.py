"""What has come of a request so far, at both places."""

from __future__ import annotations

import math

from ondevice.answer import Answer
from ondevice.client.executors.attempt import Attempt, AttemptOutcome
from ondevice.errors import OnDeviceError, UpstreamError


class Progress:
    """cloud, device: the attempts begun. pending: those of which more may come. best: the best answer so far.

    failure: why the cloud failed, being late included. error: why there is nothing, otherwise.
    """

    def __init__(self) -> None:
        self.cloud: Attempt | None = None
        self.device: Attempt | None = None
        self.pending: set[Attempt] = set()
        self.best: AttemptOutcome | None = None
        self.failure: UpstreamError | None = None
        self.error: OnDeviceError | None = None

    def begun(self, attempt: Attempt) -> None:
        """An attempt is under way."""
        if attempt.where == "cloud":
            self.cloud = attempt
        else:
            self.device = attempt
        self.pending.add(attempt)

    def take(self, outcome: AttemptOutcome) -> None:
        """Something has come of one."""
        attempt, result = outcome.attempt, outcome.result
        if outcome.last:
            self.pending.discard(attempt)
        if isinstance(result, Answer):
            if self.best is None or outcome.top1 > self.best.top1:
                self.best = outcome
        elif attempt is self.cloud and isinstance(result, UpstreamError):
            self.failure = result
        else:
            self.error = result

    @property
    def device_score(self) -> float:
        """The score of the device's answer, if that is the best so far; else below every score."""
        result = self.best.result if self.best and self.best.attempt is self.device else None
        return result.score if isinstance(result, Answer) else -math.inf

    @property
    def may_improve(self) -> bool:
        """Whether a better answer than the best may still come."""
        return self.best is None or any(attempt.top1 > self.best.top1 for attempt in self.pending)
