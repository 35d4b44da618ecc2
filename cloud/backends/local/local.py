"""The backend in this machine's own worker processes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

from ondevice import host
from ondevice.cloud.backends.backend import Backend, InferenceResult
from ondevice.cloud.backends.local import catalogue
from ondevice.cloud.backends.local.health import Health
from ondevice.cloud.backends.local.learner import Learner
from ondevice.cloud.backends.local.memory import ModelMemory
from ondevice.cloud.backends.local.model import LocalModel
from ondevice.cloud.backends.local.queue import LocalQueue
from ondevice.cloud.backends.local.repository import ModelRepository
from ondevice.cloud.backends.local.runs import Runs
from ondevice.cloud.backends.local.store import Peers, Setting, Store, default_path
from ondevice.cloud.backends.local.times import LocalTimes
from ondevice.cloud.backends.local.trials import Trials
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.errors import UsageError, WorkerDiedError
from ondevice.protocol.served import ServedModel


class Local(Backend):
    """Models in worker processes on this machine.

    sources: names in the zoo, or paths. pool: the workers, started. memory_budget: bytes for the loaded models of all
    workers, or None. profiles: the file that keeps what is learned; by default one in the user's cache. tell: called
    with an event and its fields. peers: others that serve the same, which learn from this one, and it from them.
    """

    name = "local"
    # To be set before the start.
    peers: Peers | None = None

    def __init__(
        self,
        sources: Sequence[str],
        pool: Pool,
        memory_budget: int | None,
        profiles: Path | None,
        tell: Callable[..., None],
    ) -> None:
        self._sources, self.pool, self._budget = tuple(sources), pool, memory_budget
        self._profiles, self._tell = profiles, tell
        self.counts_demand = memory_budget is not None
        self.models: Sequence[ServedModel] = ()
        self._models: Mapping[str, LocalModel] = {}

    async def start(self) -> None:
        """Load and time every model, or take its saved times; then load what the memory budget holds."""
        worker = self.pool.crew.soonest(perf_counter())
        if worker is None:
            raise WorkerDiedError("no worker process is alive any more: see above why, and start again")
        described = await catalogue.described(worker, self._sources)
        self._setting = Setting(host.current().cpu_model(), described[0]["runtime"], self.pool.processes.threads)
        self._store = Store(self._profiles or default_path(self._setting), self._setting, self._tell, self.peers)
        self.learner = Learner(len(self._sources), self._store.load(), self._tell)
        self.models = [catalogue.served(message, self.name) for message in described]
        catalogue.refuse_doubles(self.models, self._sources)
        await catalogue.timed(worker, self._sources, described, self.learner)
        self._assemble(described)
        await self._load_first()

    def _assemble(self, described: Sequence[Message]) -> None:
        """All that can be made only now that the models are known."""
        count, pool, learner, tell = self.pool.processes.count, self.pool, self.learner, self._tell
        # What is mapped from the file may not count as resident yet.
        sizes = [count * max(message["resident_bytes"], message["size_bytes"]) for message in described]
        models = map(LocalModel, range(len(described)), self._sources, sizes, learner.models)
        self._models = {model.name: model for model in models}
        self.times = LocalTimes(learner, pool.crew, self._sources, self._setting)
        self.queue = LocalQueue(pool, len(self._models), learner.overhead)
        self._trials = Trials(self._models, learner, pool)
        self.memory = ModelMemory(self._models, learner.table, pool.residents, self._budget, tell)
        self.health = Health(self._models, monotonic, self._trials.check, self.memory.evict, tell)
        self._repository = ModelRepository(self.health, self.memory, tell)
        self._runs = Runs(self._models, pool, learner, self._repository, lambda: self._store.changed(monotonic()))
        known = {model.source: model for model in self._models.values()}
        pool.residents.load_ms = {source: model.known.load_ms or 0.0 for source, model in known.items()}
        pool.residents.loaded = lambda source, worker, ms: learner.loaded(known[source].row, worker, ms, monotonic())
        pool.residents.failed = lambda source, error: self.health.failed(known[source].name, error)
        pool.supervisor.checksums = {s: m["sha256"] for s, m in zip(self._sources, described, strict=True)}

    async def _load_first(self) -> None:
        """The fastest, without which no short deadline is met, then the most accurate, as far as the budget goes."""
        fastest, residency = self.memory.fastest, self.memory.residency
        order = sorted(self.models, key=lambda s: (s.name != fastest, -(s.top1 or 0.0)))
        self.memory.fill([served.name for served in order])
        if not residency.resident:
            size, count = residency.sizes[fastest], self.pool.processes.count
            raise UsageError(f"{fastest} takes {size} bytes in {count} workers, over --memory-budget")
        for name, size in residency.sizes.items():
            if not residency.fits(name):
                self._tell("over memory budget", model=name, bytes=size)
                self.health.unload(name)
        for name in sorted(residency.resident):
            await self.memory.load(name)

    def close(self) -> None:
        """Save what was learned, if it came so far: half a start would take the place of all that was known."""
        if self._models:
            self._store.save(self.learner.saved(self._setting))

    def tick(self) -> None:
        """What is done between requests: load what is wanted, time what is stale, save what was learned."""
        now = monotonic()
        if self.pool.crew.alive:
            self.health.tick()
        allowed = [name for name in self._models if self.available(name)]
        self.memory.fill(allowed)
        if self.counts_demand and not self.queue.saturated:
            self.memory.swap(allowed)
        self.pool.residents.maintain()
        self._trials.remeasure(now, self.health.failed)
        self._store.save_if_due(now, lambda: self.learner.saved(self._setting))

    def ready(self) -> bool:
        """Whether any worker is alive, and any model can be asked for."""
        return bool(self.pool.crew.workers and self.health.available)

    def state(self, model: str) -> ModelState:
        """What it is now; a model that never fits into the memory budget is gone."""
        return self.health.state(model)

    def available(self, model: str) -> bool:
        """Whether the model can be asked for now."""
        return model in self.health.available

    async def load(self, model: str) -> None:
        """Load a model now, in every worker, and let it be chosen. Raises ModelError."""
        await self._repository.load(model)

    def unload(self, model: str) -> None:
        """Let a model go, and keep it from being chosen until it is loaded again."""
        self._repository.unload(model)

    def record_demand(self, model: str) -> None:
        """Count that this model would be best, were it loaded."""
        self.memory.residency.record_demand(model)

    def run(self, ticket: Ticket) -> Coroutine[Any, Any, InferenceResult]:
        """Queue the work and await its result. Raises ImageError, ModelError, ServeError, RefusedError."""
        return self._runs.run(ticket)
