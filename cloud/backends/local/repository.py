"""The models here as they are asked for: by a request's turn, or by hand."""

from __future__ import annotations

from collections.abc import Callable

from ondevice.cloud.backends.local.health import Health
from ondevice.cloud.backends.local.memory import ModelMemory
from ondevice.cloud.backends.states import ModelState
from ondevice.errors import ModelError, OnDeviceError


class ModelRepository:
    """health: which can be asked for. memory: which are held. tell: called with an event and its fields."""

    def __init__(self, health: Health, memory: ModelMemory, tell: Callable[..., None]) -> None:
        self.health, self.memory, self._tell = health, memory, tell

    def admit(self, model: str) -> None:
        """Make room for a model for which a request's turn has come. Raises ModelError where it cannot be run now."""
        if model not in self.health.available:
            what = "was unloaded" if self.health.state(model) is ModelState.GONE else "failed"
            raise ModelError(f"{model} {what} while a request for it waited", model)
        self.memory.admit(model)

    async def load(self, model: str) -> None:
        """Load a model now, in every worker, and let it be chosen. Raises ModelError, WorkerDiedError."""
        self.memory.admit(model)
        self.health.load(model)
        try:
            await self.memory.load(model)
        except OnDeviceError as error:
            self.health.not_loaded(model, error)
            raise
        if self.health.loaded(model):
            self._tell("loaded", model=model)
        else:
            self.memory.evict(model)

    def unload(self, model: str) -> None:
        """Let a model go, and keep it from being chosen until it is loaded again."""
        self.health.unload(model)
        self.memory.evict(model)
