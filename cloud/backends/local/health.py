"""Which of the models here can be asked for: told what fails, and trying again what failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial

from ondevice.cloud.backends.states import Condition, ModelState
from ondevice.cloud.backends.workers.process import Reply
from ondevice.errors import ModelFaultError, ModelLoadError, OnDeviceError

# Has a worker see whether a model can be loaded and run; None without a worker.
Check = Callable[[str], "asyncio.Future[Reply] | None"]


class Health:
    """The conditions of the models, by name, on the given clock, in seconds.

    available: those that can be asked for. evict: called with a model that cannot be loaded, to let go of what is left
    of it. tell: called with an event and its fields.
    """

    def __init__(
        self,
        names: Iterable[str],
        clock: Callable[[], float],
        check: Check,
        evict: Callable[[str], None],
        tell: Callable[..., None],
    ) -> None:
        self._of = {name: Condition() for name in names}
        # Kept, for every request asks of each.
        self.available = set(self._of)
        self._clock, self._check, self._evict, self._tell = clock, check, evict, tell

    def state(self, model: str) -> ModelState:
        """What the model is now."""
        return self._of[model].state

    def succeeded(self, model: str) -> None:
        """It has answered, or was tried with success."""
        if self._of[model].succeeded():
            self._seen(model)
            self._tell("model available", model=model)

    def failed(self, model: str, error: OnDeviceError, counts: bool = True) -> None:
        """It was to run, or to be loaded, and there was an error. counts: whether a wrong inference speaks against it.

        What says nothing of the model is left out of account.
        """
        loading = isinstance(error, ModelLoadError)
        if loading:
            self._evict(model)
        if loading or (counts and isinstance(error, ModelFaultError)):
            self._failed(model, error, self._of[model].failed(self._clock(), at_once=loading))

    def unload(self, model: str) -> None:
        """It is let go by hand."""
        self._of[model].unload()
        self._seen(model)

    def load(self, model: str) -> None:
        """It is being loaded by hand."""
        self._of[model].load()
        self._seen(model)

    def loaded(self, model: str) -> bool:
        """It was loaded by hand; False where it was unloaded again meanwhile."""
        loaded = self._of[model].loaded()
        self._seen(model)
        return loaded

    def not_loaded(self, model: str, error: OnDeviceError) -> None:
        """It could not be loaded by hand, for whatever reason."""
        self._evict(model)
        self._failed(model, error, self._of[model].not_loaded(self._clock()))

    def tick(self) -> None:
        """Try again what is due; call it a few times a second, while there are workers."""
        for model, condition in self._of.items():
            if condition.retry(self._clock()):
                tried = self._check(model)
                assert tried, "only asked while there are workers"
                tried.add_done_callback(partial(self._tried, model))

    def _seen(self, model: str) -> None:
        change = self.available.add if self.state(model) is ModelState.AVAILABLE else self.available.discard
        change(model)

    def _tried(self, model: str, tried: asyncio.Future[Reply]) -> None:
        if tried.cancelled():
            return
        if error := tried.exception():
            self._failed(model, error, self._of[model].failed(self._clock(), at_once=True))
        else:
            self.succeeded(model)

    def _failed(self, model: str, error: BaseException, newly: bool) -> None:
        """That it fails is told once; of a model that was unloaded nobody wants to know."""
        self._seen(model)
        if newly and self.state(model) is not ModelState.GONE:
            self._tell("model failing", model=model, error=str(error))
