"""The backend in this machine's own worker processes."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic, perf_counter
from typing import Any

import numpy as np

from ondevice import host
from ondevice.cloud.backends.backend import Backend, InferenceResult
from ondevice.cloud.backends.local import catalogue
from ondevice.cloud.backends.local.health import Health
from ondevice.cloud.backends.local.learner import Learner
from ondevice.cloud.backends.local.queue import LocalQueue
from ondevice.cloud.backends.local.residency import Residency
from ondevice.cloud.backends.local.store import Saved, Setting, Store, default_path
from ondevice.cloud.backends.local.times import LocalTimes
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.job import PlannedRun, WorkerJob
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.process import Reply
from ondevice.errors import ModelError, OnDeviceError, UsageError
from ondevice.protocol.served import ServedModel, Work
from ondevice.timing.quantiles import MEDIAN

# A model that was loaded so lately is not pushed out by one that is only wanted.
_SETTLE_S = 5.0


@dataclass(frozen=True)
class Workers:
    """How many processes, and the runtime's threads in each; runtime: one of `ondevice.runtime.RUNTIMES`, or None."""

    count: int
    threads: int = 1
    runtime: str | None = None


class Local(Backend):
    """Models in worker processes on this machine.

    sources: names in the zoo, or paths. memory_budget: bytes for the loaded models of all workers, or None. profiles:
    the file that keeps what is learned; by default one in the user's cache. tell: called with an event and its fields.
    """

    name = "local"

    def __init__(
        self,
        sources: Sequence[str],
        workers: Workers,
        memory_budget: int | None,
        profiles: Path | None,
        tell: Callable[..., None],
    ) -> None:
        self._sources, self._budget, self._profiles, self._tell = tuple(sources), memory_budget, profiles, tell
        self._workers = workers
        self.pool = Pool(workers.count, workers.threads, workers.runtime, self._told)
        self.models: list[ServedModel] = []
        self._source: dict[str, str] = {}
        self._came: dict[str, float] = {}

    async def start(self) -> None:
        """Load and time every model, or take its saved times; then load what the memory budget holds."""
        await self.pool.start()
        described = await catalogue.described(self.pool.workers[0], self._sources)
        self._setting = Setting(host.current().cpu_model(), described[0]["runtime"], self._workers.threads)
        self._store = Store(self._profiles or default_path(self._setting), self._setting, self._tell)
        self.learner = Learner(len(self._sources), self._store.load(), self._tell)
        self.models = [catalogue.served(message, self.name) for message in described]
        catalogue.refuse_doubles(self.models)
        for source, message in zip(self._sources, described, strict=True):
            await self.learner.meet(message, partial(self._measure, source), monotonic())
            await self._drop(source)
        self.learner.met()
        self.times = LocalTimes(self.learner, self.pool, self._sources, self._setting)
        self.queue = LocalQueue(self.pool, len(self.models), self.learner.overhead)
        self._rows = {served.name: row for row, served in enumerate(self.models)}
        self._source = dict(zip(self._rows, self._sources, strict=True))
        self.health = Health(self._rows, monotonic, self._check, self._evict, self._tell)
        self.pool.load_failed = lambda source, error: self.health.failed(self._named(source), error)
        self.pool.checksums = {s: m["sha256"] for s, m in zip(self._sources, described, strict=True)}
        # What is mapped from the file may not count as resident yet.
        each = [max(message["resident_bytes"], message["size_bytes"]) for message in described]
        self.residency = Residency(
            {served.name: size * self._workers.count for served, size in zip(self.models, each, strict=True)},
            self._budget,
        )
        self.pool.load_ms = {self._source[known.model]: known.load_ms or 0.0 for known in self.learner.models}
        await self._load_first()

    def close(self) -> None:
        """End the workers, and save what was learned."""
        self.pool.close()
        if self.models:
            self._store.save(self._saved())

    def available(self, model: str) -> bool:
        """Whether it is not failing or unloaded by hand, and fits into the memory budget at all."""
        return self.health.state(model) is ModelState.AVAILABLE and self.residency.fits(model)

    def state(self, model: str) -> ModelState:
        """What it is now; a model that never fits into the memory budget is gone."""
        return self.health.state(model) if self.residency.fits(model) else ModelState.GONE

    def ready(self) -> bool:
        """Whether any worker is alive, and any model can be asked for."""
        return bool(self.pool.workers) and any(map(self.available, self._rows))

    @property
    def counts_demand(self) -> bool:  # type: ignore[override]  # a plain False elsewhere
        """Whether there is a memory budget."""
        return self._budget is not None

    def record_demand(self, model: str) -> None:
        """Count that this model would be best, were it loaded."""
        self.residency.record_demand(model)

    async def run(self, ticket: Ticket) -> InferenceResult:
        """Queue the work and await its result. Raises ImageError, ModelError, ServeError."""
        work = ticket.work
        message = {"op": "image" if work.is_picture else "tensor", "top": work.top, "raw": work.raw}

        def plan() -> PlannedRun:
            if not self.available(ticket.model):
                what = "was unloaded" if self.state(ticket.model) is ModelState.GONE else "failed"
                raise ModelError(f"{ticket.model} {what} while a request for it waited", ticket.model)
            self._admit(ticket.model)
            return self._plan(ticket)

        # What a client no longer waits for is learned from too, once it has begun: it may be why.
        job = WorkerJob(message, ticket, self._plan(ticket), plan, lambda r: self._timed(ticket.model, work, r[0]))
        self.pool.submit(job)
        try:
            reply, raw = await job.future
        except ModelError as error:
            error.model = ticket.model
            # What a client sends as a tensor may be what makes no sense of it; a picture's pixels are numbers.
            self.health.failed(ticket.model, error, counts=work.is_picture)
            raise
        return self._account(job, reply, raw)

    async def load(self, model: str) -> None:
        """Load a model now, in every worker, and let it be chosen. Raises ModelError."""
        self._admit(model)
        self.health.load(model)
        try:
            await self.pool.load(self._source[model])
        except OnDeviceError as error:
            self.health.not_loaded(model, error)
            raise
        if self.health.loaded(model):
            self._tell("loaded", model=model)
        else:
            self._evict(model)

    def unload(self, model: str) -> None:
        """Let a model go, and keep it from being chosen until it is loaded again."""
        self.health.unload(model)
        self._evict(model)

    def tick(self) -> None:
        """What is done between requests: load what is wanted, time what is stale, save what was learned."""
        self.pool.kill_hanging()
        if self.pool.workers:
            self.health.tick()
        self._fill()
        self._swap()
        self.pool.maintain()
        self._remeasure()
        self._store.save_if_due(monotonic(), self._saved)

    def _told(self, event: str, **fields: Any) -> None:
        """An event of the pool, which knows models by where they come from."""
        if "model" in fields:
            fields["model"] = self._named(fields["model"])
        if event == "loaded" and fields["load_ms"]:  # between requests, by a worker that had nothing to do
            self.learner.models[self._rows[fields["model"]]].loaded(fields["load_ms"], monotonic())
        self._tell(event, **fields)

    def _named(self, source: str) -> str:
        return next((name for name, known in self._source.items() if known == source), source)

    def _check(self, model: str) -> asyncio.Future[Reply] | None:
        return self.pool.check(self._source[model], self.learner.models[self._rows[model]].loading_ms(monotonic()))

    # Starting

    async def _drop(self, source: str) -> None:
        await self.pool.workers[0].ask({"op": "unload", "model": source})

    async def _measure(self, source: str, runs: int) -> Message:
        message, _ = await self.pool.workers[0].ask({"op": "measure", "model": source, "runs": runs})
        return message

    async def _load_first(self) -> None:
        """The fastest, without which no short deadline is met, then the most accurate, as far as the budget goes."""
        fastest = self._fastest()
        order = sorted(self.models, key=lambda s: (s.name != fastest, -(s.top1 or 0.0)))
        for served in order:
            if self.residency.victims(served.name, keep=self.residency.resident) == []:
                self._make_resident(served.name)
        if not self.residency.resident:
            size = self.residency.sizes[fastest]
            raise UsageError(f"{fastest} takes {size} bytes in {self._workers.count} workers, over --memory-budget")
        for name, size in self.residency.sizes.items():
            if not self.residency.fits(name):
                self._tell("over memory budget", model=name, bytes=size)
        for name in sorted(self.residency.resident):
            await self.pool.load(self._source[name])

    # Memory

    def _fastest(self) -> str:
        """By the median: at the start a single interruption outweighs twenty runs of a small model in their mean."""
        return self.models[int(np.argmin(self.learner.table.quantiles_ms[:, MEDIAN]))].name

    def _make_resident(self, model: str) -> None:
        self.residency.resident.add(model)
        self.pool.resident.add(self._source[model])
        self._came[model] = monotonic()

    def _evict(self, model: str) -> None:
        if model in self.residency.resident:
            self.residency.resident.discard(model)
            self.pool.unload(self._source[model])
            self._tell("unloaded", model=model)

    def _admit(self, model: str) -> None:
        """Make room for a model that is about to be loaded. Raises ModelError if there never is."""
        if model in self.residency.resident:
            return
        out = self.residency.victims(model, keep={self._fastest()})
        if out is None:  # then even without the fastest, which short deadlines need
            out = self.residency.victims(model)
        if out is None:
            raise ModelError(f"{model} does not fit into the memory budget", model)
        for victim in out:
            self._evict(victim)
        self._make_resident(model)

    def _fill(self) -> None:
        """Load what there is room for, as what had failed and can be loaded again."""
        for model in self._rows:
            if self.available(model) and model not in self.residency.resident and self.residency.victims(model) == []:
                self._make_resident(model)

    def _swap(self) -> None:
        """Load a cold model that is wanted more than what it pushes out, while a worker has nothing to do."""
        if self._budget is None or self.queue.saturated:
            return
        allowed = [served.name for served in self.models if self.available(served.name)]
        # What has just come had its reason, though what went may have been wanted more often before.
        settling = {name for name, came in self._came.items() if monotonic() - came < _SETTLE_S}
        if found := self.residency.swap(keep={self._fastest(), *settling}, allowed=allowed):
            self._admit(found[0])

    # Learning

    def _plan(self, ticket: Ticket) -> PlannedRun:
        row, source = self._rows[ticket.model], self._source[ticket.model]
        known = self.learner.models[row]
        cold_ms = 0.0 if source in self.pool.warm() else known.loading_ms(monotonic())
        decode_ms = known.decode.expect(ticket.work.picture)
        return PlannedRun(source, float(self.learner.table.mean_ms[row]) + decode_ms + cold_ms)

    def _account(self, job: WorkerJob, reply: Message, raw: bytes) -> InferenceResult:
        model, work = job.ticket.model, job.ticket.work
        load_ms = self._timed(model, work, reply)
        if not job.deaths:  # else a worker's death, and what it was at, would be taken for the way through here
            parts_ms = job.queue_ms + reply["decode_ms"] + reply["invoke_ms"] + load_ms
            self.learner.overhead.add((perf_counter() - job.queued) * 1e3, parts_ms)
        top = [(index, score) for index, score in reply["top"]]
        times_ms = job.queue_ms, reply["decode_ms"], reply["invoke_ms"], load_ms
        return InferenceResult(model, top, raw, *times_ms, overtaken_ms=job.overtaken_ms)

    def _timed(self, model: str, work: Work, reply: Message) -> float:
        """Learn how long it took; gives the part that was loading, ms."""
        now = monotonic()
        self.health.succeeded(model)
        load_ms = self.learner.timed(self._rows[model], work.picture, reply, now)
        if load_ms:
            self._tell("loaded", model=model, load_ms=load_ms)
        self._store.changed(now)
        return load_ms

    def _remeasure(self) -> None:
        """Time a model that has not run for long on a worker that nobody needs."""
        now = monotonic()
        for row, runs, cost_ms in self.learner.stale(now):
            timed = self.pool.measure(self._sources[row], runs, cost_ms)
            if timed is not None:
                self.learner.models[row].used_at = now
                timed.add_done_callback(partial(self._remeasured, row))
                return

    def _remeasured(self, row: int, timed: asyncio.Future[Reply]) -> None:
        with contextlib.suppress(OnDeviceError):
            self.learner.remeasured(row, timed.result()[0])

    def _saved(self) -> list[Saved]:
        return self.learner.saved(self._setting)
