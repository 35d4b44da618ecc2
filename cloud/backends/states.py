"""What can be asked of a model now: available, loading, failing until it is tried again, or gone; on a given clock."""

from __future__ import annotations

import enum

from ondevice.resilience.breaker import Breaker


class ModelState(enum.StrEnum):
    """Whether a model can be asked for, and if not, why."""

    # It can be asked for, though it may have to be loaded first.
    AVAILABLE = "available"
    # It is being loaded by hand, or tried again after it failed.
    LOADING = "loading"
    # It could not be loaded, or computed nonsense; it is tried again without being asked to.
    FAILING = "failing"
    # It was unloaded by hand, and stays away until it is loaded by hand.
    GONE = "gone"


class Condition:
    """The state of one model. Times are seconds of any monotonic clock.

    A load that fails makes it failing at once; an inference that fails is not proof enough, three in a row are. It is
    tried again as `Breaker` has it: after 0.5 s, then after pauses twice as long each, at most 10 s.
    """

    def __init__(self) -> None:
        self._breaker = Breaker()
        self._on, self._loading, self._trying = True, False, False

    @property
    def state(self) -> ModelState:
        """What it is now."""
        if not self._on:
            return ModelState.LOADING if self._loading else ModelState.GONE
        if self._breaker.closed:
            return ModelState.AVAILABLE
        return ModelState.LOADING if self._loading or self._trying else ModelState.FAILING

    def failed(self, now: float, at_once: bool) -> bool:
        """An inference failed, a trial, or a load for a request (at_once). Whether that made it failing."""
        self._trying = False
        return self._breaker.failed(now, at_once)

    def succeeded(self) -> bool:
        """It has answered, or was tried with success. Whether that made it available again."""
        self._trying = False
        return self._breaker.succeeded() and self._on

    def retry(self, now: float) -> bool:
        """Whether it is due to be tried again; then it counts as being tried."""
        if not self._on or not self._breaker.probe(now):
            return False
        self._trying = True
        return True

    def unload(self) -> None:
        """It is let go by hand."""
        self._on = self._loading = False

    def load(self) -> None:
        """It is being loaded by hand; `loaded` or `not_loaded` is to be told what came of it."""
        self._loading = True

    def not_loaded(self, now: float) -> bool:
        """It could not be loaded by hand. Whether that made it failing."""
        self._loading = False
        return self.failed(now, at_once=True)

    def loaded(self) -> bool:
        """It was loaded by hand, and its failures are forgotten. False where it was unloaded again meanwhile."""
        if not self._loading:  # or somebody else's load was done before
            return self._on
        self._breaker = Breaker()
        self._on, self._loading, self._trying = True, False, False
        return True
