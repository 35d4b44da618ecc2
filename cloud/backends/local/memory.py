"""Which models the workers hold, under the memory that they may take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from time import monotonic

import numpy as np

from ondevice.cloud.backends.local.model import LocalModel
from ondevice.cloud.backends.local.residency import Residency
from ondevice.cloud.backends.workers.residents import Residents
from ondevice.errors import ModelError
from ondevice.timing.quantiles import MEDIAN
from ondevice.timing.table import LatencyTable

# A model that was loaded so lately is not pushed out by one that is only wanted.
_SETTLE_S = 5.0


class ModelMemory:
    """models: by name, their times in `table`. residents: what the workers are told to hold. budget_bytes: or None.

    tell: called with an event and its fields.
    """

    def __init__(
        self,
        models: Mapping[str, LocalModel],
        table: LatencyTable,
        residents: Residents,
        budget_bytes: int | None,
        tell: Callable[..., None],
    ) -> None:
        self._models, self._table, self._residents, self._tell = models, table, residents, tell
        self.residency = Residency({name: model.size_bytes for name, model in models.items()}, budget_bytes)
        self._came: dict[str, float] = {}

    @property
    def fastest(self) -> str:
        """By the median: at the start a single interruption outweighs twenty runs of a small model in their mean."""
        row = int(np.argmin(self._table.quantiles_ms[:, MEDIAN]))
        return next(name for name, model in self._models.items() if model.row == row)

    def fill(self, names: Collection[str]) -> None:
        """Hold those, the first first, for which there is room, as what had failed and can be loaded again."""
        for name in names:
            if name not in self.residency.resident and self.residency.victims(name) == []:
                self._hold(name)

    def swap(self, allowed: Collection[str]) -> None:
        """Load a cold model that is wanted more than what it pushes out; call it where a worker has nothing to do."""
        # What has just come had its reason, though what went may have been wanted more often before.
        settling = {name for name, came in self._came.items() if monotonic() - came < _SETTLE_S}
        if found := self.residency.swap(keep={self.fastest, *settling}, allowed=allowed):
            model, out = found
            self._replace(out, model)

    def admit(self, model: str) -> None:
        """Make room for a model that is about to be loaded. Raises ModelError if there never is."""
        if model in self.residency.resident:
            return
        out = self.residency.victims(model, keep={self.fastest})
        if out is None:  # then even without the fastest, which short deadlines need
            out = self.residency.victims(model)
        if out is None:
            raise ModelError(f"{model} does not fit into the memory budget", model)
        self._replace(out, model)

    def evict(self, model: str) -> None:
        """Let a model go, if it is held."""
        if model in self.residency.resident:
            self.residency.resident.discard(model)
            self._residents.unload(self._models[model].source)
            self._tell("unloaded", model=model)

    async def load(self, model: str) -> None:
        """Load a model that is held in every worker. Raises ModelError, WorkerDiedError."""
        await self._residents.load(self._models[model].source)

    def _replace(self, out: Collection[str], model: str) -> None:
        for victim in out:
            self.evict(victim)
        self._hold(model)

    def _hold(self, model: str) -> None:
        self.residency.resident.add(model)
        self._residents.models.add(self._models[model].source)
        self._came[model] = monotonic()
