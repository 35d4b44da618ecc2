"""Models tried, and timed anew, on workers that nobody needs."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from functools import partial
from time import monotonic, perf_counter

from ondevice.cloud.backends.local.learner import Learner
from ondevice.cloud.backends.local.model import LocalModel
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.process import Reply
from ondevice.errors import OnDeviceError


class Trials:
    """Of these models, by name, in the order of `learner`, by the workers of `pool`."""

    def __init__(self, models: Mapping[str, LocalModel], learner: Learner, pool: Pool) -> None:
        self._models, self._learner, self._pool = models, learner, pool

    def check(self, model: str) -> asyncio.Future[Reply] | None:
        """Have the worker that is soonest done see whether the model can be loaded and run; None if there is none."""
        worker = self._pool.crew.soonest(perf_counter())
        if worker is None:
            return None
        tried = self._models[model]
        return worker.ask({"op": "check", "model": tried.source}, tried.known.loading_ms(monotonic()), loads=True)

    def remeasure(self, now: float, failed: Callable[[str, OnDeviceError], None]) -> None:
        """Time a model that has not run for long on an idle worker that has it, if nothing waits.

        failed: called with the model and the error where it could not be timed.
        """
        idle, models = ([] if self._pool.queue else self._pool.crew.idle()), list(self._models.values())
        for row, runs, cost_ms in self._learner.stale(now) if idle else ():
            source = models[row].source
            if worker := next((one for one in idle if source in one.loaded), None):
                models[row].known.used_at = now
                timed = worker.ask({"op": "measure", "model": source, "runs": runs}, cost_ms)
                timed.add_done_callback(partial(self._remeasured, row, failed))
                return

    def _remeasured(self, row: int, failed: Callable[[str, OnDeviceError], None], timed: asyncio.Future[Reply]) -> None:
        try:
            self._learner.remeasured(row, timed.result()[0])
        except OnDeviceError as error:
            failed(self._learner.models[row].model, error)
