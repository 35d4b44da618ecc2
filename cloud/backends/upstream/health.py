"""Whether another server and its models can be asked, from what has gone well and wrong there.

A circuit breaker for the server counts the connections that are lost and the answers that are late, and one for each
model its late and its wrong answers. The server's is closed by a good answer to the question after its health, a
model's by a small real inference. A model of which the server says when to come back is left alone for so long.
Clocks are monotonic, in seconds.
"""

from __future__ import annotations

from collections.abc import Callable

from ondevice.cloud.backends.states import ModelState
from ondevice.errors import LOST, FailureKind, UpstreamError
from ondevice.resilience.breaker import Breaker
from ondevice.resilience.pushback import Pushback

# Between two questions after a server's health: a server that dies unused is found before the next requests come.
_CHECK_S = 2.0


class ServerHealth:
    """Of the server that is called `name`. tell: called with an event and its fields."""

    def __init__(self, name: str, clock: Callable[[], float], tell: Callable[..., None]) -> None:
        self.name, self._clock, self._tell = name, clock, tell
        self._breaker, self._check_at = Breaker(), 0.0

    @property
    def well(self) -> bool:
        """Whether it can be sent work."""
        return self._breaker.closed

    def check_due(self) -> bool:
        """Whether it is to be asked after its health now; then that counts as done."""
        now = self._clock()
        if not (self._breaker.probe(now) or (self.well and now >= self._check_at)):
            return False
        self._check_at = now + _CHECK_S
        return True

    def ready(self) -> None:
        """It says that it is well. That alone redeems nothing: it can say so without being able to infer."""
        if not self.well:
            self.reached()

    def not_ready(self, error: UpstreamError) -> None:
        """What became of the question after its health."""
        # Its own word that it is not ready leaves no doubt, and neither does a connection refused.
        self._lost(error, at_once=error.failure not in (FailureKind.CUT, FailureKind.LATE))

    def reached(self) -> None:
        """It has answered, well or not."""
        if self._breaker.succeeded():
            self._tell("upstream up", upstream=self.name)

    def failed(self, error: UpstreamError) -> None:
        """An inference there ended in this error."""
        if error.failure in LOST:
            self._lost(error, at_once=error.failure == FailureKind.REFUSED)
        else:
            self.reached()

    def of_model(self, model: str) -> ModelHealth:
        """That of one of its models, by the same clock."""
        return ModelHealth(model, self, self._clock, self._tell)

    def _lost(self, error: UpstreamError, at_once: bool) -> None:
        if self._breaker.failed(self._clock(), at_once):
            self._tell("upstream down", upstream=self.name, reason=str(error))


class ModelHealth:
    """Of one model of a server. tell: called with an event and its fields."""

    def __init__(self, model: str, server: ServerHealth, clock: Callable[[], float], tell: Callable[..., None]) -> None:
        self._model, self._server, self._clock, self._tell = model, server, clock, tell
        self._breaker, self._pushback = Breaker(), Pushback()
        # Whether it was not unloaded by hand.
        self.on = True

    @property
    def well(self) -> bool:
        """Whether it and its server are well, and it was not unloaded by hand."""
        return self.on and self._breaker.closed and self._server.well

    @property
    def available(self) -> bool:
        """Whether it can be asked for now: it is well, and not told to come back later."""
        return self.well and not self._held

    @property
    def state(self) -> ModelState:
        """What it is, as far as is known from here."""
        if not self.on:
            return ModelState.GONE
        return ModelState.AVAILABLE if self.well else ModelState.FAILING

    def retry_due(self) -> bool:
        """Whether it is to be tried again now; then that counts as done."""
        return not self._held and self._breaker.probe(self._clock())

    def answered(self) -> None:
        """It has given a good answer."""
        self._server.reached()
        if self._breaker.succeeded():
            self._tell("upstream model up", upstream=self._server.name, model=self._model)

    def failed(self, error: UpstreamError) -> None:
        """An inference of it ended in this error."""
        self._server.failed(error)
        if error.retry_after_ms is not None:
            # A request says no deadline there, so it is one for all.
            self._pushback.said(self._clock(), error.retry_after_ms, None)
        if error.for_time:  # which says that it is well
            return
        # A lost connection is the server's failure alone, unless this was the model's probe.
        blamed = error.failure not in (FailureKind.REFUSED, FailureKind.CUT) or not self._breaker.closed
        if blamed and self._breaker.failed(self._clock()):
            self._tell("upstream model down", upstream=self._server.name, model=self._model, reason=str(error))

    @property
    def _held(self) -> bool:
        return self._pushback.held_ms(self._clock(), 0.0) > 0
