"""The backend that forwards to another Open Inference Protocol server, which may be gone at any moment.

A circuit breaker for the server counts the connections that are lost and the answers that are late, and one for each
model its late and its wrong answers. While either is open the model is not available, so that others are chosen. The
server's is closed by a good answer to the question after its health, a model's by a small real inference.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any, NamedTuple

import numpy as np

from ondevice import remote
from ondevice.cloud.backends.backend import Backend, BackendQueue, BackendTimes, InferenceResult
from ondevice.cloud.backends.decoding import DecodeTimes, Decoding
from ondevice.cloud.backends.learning import Learned, OwnOverhead
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream.oip_client import MAX_INFERENCES, OipClient
from ondevice.cloud.backends.upstream.url import TOKEN_VARIABLE, parsed
from ondevice.cloud.backends.workers.job import PlannedRun, WorkerJob
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.sample import sample_picture
from ondevice.errors import FailureKind, ImageError, ModelError, OnDeviceError, ServeError, UpstreamError
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import ServedModel, Work
from ondevice.remote import Ranking, RemoteModel
from ondevice.resilience.breaker import Breaker
from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import Profile
from ondevice.timing.recent import Recent
from ondevice.timing.table import LatencyTable

# How often its health is asked for, and how long the answers may take; at the start it may be loading models.
_CHECK_S, _HEALTH_S, _START_S, _COLD_S = 2.0, 1.0, 5.0, 60.0
# An answer is late after so many times its mean, but never before so long.
_LATE_TIMES, _LATE_S = 20.0, 1.0
# How a model is timed: at the start as often as the time allows, but twice; and again when it was not used for long.
_RUNS, _TIME_MS, _AGAIN = 5, 300.0, 3
# No model is to cost more than a hundredth of the time by being timed again.
_STALE_S, _SHARE = 10.0, 0.01
# The size of the pictures for models that take them as they are: nothing is learned of decoding these.
_NOT_DECODED = (1, 1)
# What a server that is not there ends in; and one that does not let us in. Neither says anything of its models.
_LOST = (FailureKind.REFUSED, FailureKind.CUT, FailureKind.LATE)
_UNREACHED = (*_LOST, FailureKind.DENIED)


class _Exchange(NamedTuple):
    """What a model there answered, as `RemoteModel.read` gives it; the wait for a turn to send, and the rest, ms."""

    top: Ranking
    raw: bytes
    turn_ms: float
    round_trip_ms: float


@dataclass(eq=False)
class _UpstreamModel:
    """A model here. sample: work that it is known to do well. on: whether it was not unloaded by hand."""

    row: int
    remote: RemoteModel
    sample: Work
    learned: Learned
    breaker: Breaker = field(default_factory=Breaker)
    on: bool = True

    @property
    def name(self) -> str:
        return self.remote.served.name

    @property
    def limit_s(self) -> float:
        """When its answer is late."""
        return max(_LATE_S, _LATE_TIMES * self.learned.invoke.distribution.mean_ms / 1e3)


class Upstream(Backend, BackendQueue, BackendTimes):
    """The models of another server, of `ondevice serve` or any that speaks the Open Inference Protocol V2.

    url: http(s)://host:port for all models of its repository, or …/v2/models/NAME for that one alone. pool: the workers
    that decode pictures for models that take only tensors, running; None: such models are left out. tell: called with
    an event and its fields. A bearer token for the server is taken from the environment, ONDEVICE_UPSTREAM_TOKEN.
    Its times are those of the whole round trip. Raises UsageError for a URL that is none of these.
    """

    def __init__(self, url: str, pool: Pool | None, tell: Callable[..., None]) -> None:
        self._base, self.name, self._only = parsed(url)
        self.queue, self.times = self, self
        self._pool, self._tell = pool, tell
        self._client = OipClient(self._base, os.environ.get(TOKEN_VARIABLE))
        self._breaker = Breaker()
        self._known: dict[str, _UpstreamModel] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._in_flight, self._check_at = 0, 0.0
        self._overhead, self._decoding = OwnOverhead(), Decoding()

    async def start(self) -> None:
        """Meet the server and its models, and time each. Raises ServeError where there is none to serve."""
        await self._client.open()
        try:
            await self._client.ready(_START_S)
            skipped = [await self._meet(name) for name in await self._names()]
        except UpstreamError as error:
            hint = "see that an Open Inference Protocol server is running there"
            if error.failure == FailureKind.DENIED:
                hint = f"put its bearer token into the environment variable {TOKEN_VARIABLE}"
            raise ServeError(f"--upstream {self._base}: {error}; {hint}") from error
        self.models: Sequence[ServedModel] = [model.remote.served for model in self._known.values()]
        if not self.models:
            reason = next(filter(None, skipped), "its repository has none that is ready")
            raise ServeError(f"--upstream {self._base}: no model to serve: {reason}")
        self.table = LatencyTable(len(self.models))
        for model in self._known.values():
            self.table.write(model.row, model.learned.invoke.distribution)

    def close(self) -> None:
        """Let the connections go."""
        for task in self._tasks:
            task.cancel()
        self._client.close()

    def ready(self) -> bool:
        """Whether any model can be asked for."""
        return any(self.available(name) for name in self._known)

    def available(self, model: str) -> bool:
        """Whether it and its server are well, and it was not unloaded by hand."""
        known = self._known[model]
        return known.on and known.breaker.closed and self._breaker.closed

    def state(self, model: str) -> ModelState:
        """What it is, as far as is known from here."""
        if not self._known[model].on:
            return ModelState.GONE
        return ModelState.AVAILABLE if self.available(model) else ModelState.FAILING

    async def load(self, model: str) -> None:
        """Let it be asked for; what its server holds in memory is the server's to decide."""
        self._known[model].on = True

    def unload(self, model: str) -> None:
        """Keep it from being asked for until it is loaded again."""
        self._known[model].on = False

    def tick(self) -> None:
        """Ask after the server's health every two seconds, try what failed again, and time what is stale."""
        now = monotonic()
        if self._breaker.probe(now) or (self._breaker.closed and now >= self._check_at):
            self._check_at = now + _CHECK_S
            self._spawn(self._check())
        if self._breaker.closed:
            for known in self._known.values():
                if known.breaker.probe(now):
                    self._spawn(self._try(known))
            self._remeasure(now)

    def wait_ms(self, picture: PictureHead | None, due: float = math.inf) -> FloatArray:
        """The wait for a turn to send and, for models that take only tensors, for a worker here that decodes, [m]."""
        wait_ms = self._pool.wait_ms(due) if self._pool else 0.0
        decoded = [wait_ms if known.remote.feed and picture else 0.0 for known in self._known.values()]
        # Each that is before it frees its turn after about the usual time.
        before = max(self._in_flight - MAX_INFERENCES + 1, 0)
        return np.array(decoded) + before / MAX_INFERENCES * float(self.table.mean_ms.mean())

    def overhead_ms(self, picture: PictureHead | None) -> FloatArray:
        """The way through this server and, for models that take only tensors, decoding, [m]."""
        decode = [known.learned.decode.expect(picture) if known.remote.feed else 0.0 for known in self._known.values()]
        return np.array(decode) + self._overhead.ms

    @property
    def waiting(self) -> int:
        """Requests that the server has, or that wait to be sent to it."""
        return self._in_flight

    @property
    def saturated(self) -> bool:
        """Whether new requests would wait to be sent."""
        return self._in_flight >= MAX_INFERENCES

    @property
    def room(self) -> int:
        """What else its server has to do is not known."""
        return 0

    def profile(self, model: str) -> Profile:
        """The model's times: its server is their host; the threads are as it tells, else 0."""
        known = self._known[model]
        published = known.remote.published
        return known.learned.profile(self.name, "oip", published.threads if published else 0)

    async def run(self, ticket: Ticket) -> InferenceResult:
        """Have the work done there. Raises UpstreamError, RefusedError, and ImageError for the picture's fault."""
        known, work, begun = self._known[ticket.model], ticket.work, perf_counter()
        self._in_flight += 1
        try:
            ready, queue_ms, decode_ms = work, 0.0, 0.0
            if work.is_picture and known.remote.feed:
                expected_ms = known.learned.decode.expect(work.picture)
                ready, queue_ms, decode_ms = await self._decoded(known.remote, _decoding(known, ticket), expected_ms)
            done = await self._ask(known, ready)
        finally:
            self._in_flight -= 1
        queue_ms += done.turn_ms
        result = InferenceResult(known.name, done.top, done.raw, queue_ms, decode_ms, done.round_trip_ms)
        self._learn(known, work, result, (perf_counter() - begun) * 1e3)
        return result

    # Starting

    async def _names(self) -> list[str]:
        if self._only is not None:
            return [self._only]
        try:
            return await self._client.ready_models(_START_S)
        except UpstreamError as error:
            if error.failure in _UNREACHED:
                raise
            raise ServeError(
                f"--upstream {self._base} does not list its models: {error}; name each that you want by an --upstream "
                "of its own, with /v2/models/NAME behind the port"
            ) from error

    async def _meet(self, name: str) -> str:
        """Get to know a model; where it cannot be served, the reason why it is left out. Raises UpstreamError."""
        try:
            described = remote.describe(name, await self._client.metadata(name, _START_S), self.name)
            if described.feed and not self._pool:
                raise ModelError("it takes tensors, and no worker here decodes pictures for it", name)
            given = described.feed.input if described.feed else None
            decode = self._decoding.of((given.height, given.width) if given else _NOT_DECODED)
            sample = await self._sample(described, decode)
            times_ms = await self._timed(described, sample)
        except OnDeviceError as error:
            if isinstance(error, UpstreamError) and error.failure in _UNREACHED:
                raise
            self._tell("upstream model left out", upstream=self.name, model=name, reason=str(error))
            return f"{name}: {error}"
        learned = Learned(name, _seeded(described.published, times_ms), decode, used_at=monotonic())
        self._known[name] = _UpstreamModel(len(self._known), described, sample, learned)
        return ""

    async def _sample(self, described: RemoteModel, decode: DecodeTimes) -> Work:
        """A picture of ours, decoded where the model takes only tensors, and what that took learned."""
        payload = sample_picture(described.served.input.shape)
        head = PictureHead.read(payload)
        work = Work(payload, True, 1, False, perf_counter(), head)
        if described.feed is None:
            return work
        ticket = Ticket(described.served.name, work)
        ready, _, decode_ms = await self._decoded(described, ticket, decode.expect(head))
        decode.measured(head, [decode_ms])
        return ready

    async def _timed(self, described: RemoteModel, sample: Work) -> list[float]:
        """Round trips in ms; the first, for which it may have to load the model, is not among them."""
        await self._exchange(described, sample, _COLD_S)
        times: list[float] = []
        while len(times) < 2 or (len(times) < _RUNS and sum(times) < _TIME_MS):
            times.append((await self._exchange(described, sample, _COLD_S)).round_trip_ms)
        return times

    # Asking

    async def _decoded(self, described: RemoteModel, ticket: Ticket, expected_ms: float) -> tuple[Work, float, float]:
        """The work with its picture decoded, the wait for a worker, and what decoding took, ms. Raises ImageError."""
        assert self._pool, "without workers there are no such models"
        plan = PlannedRun(f"prepare {described.served.name}", expected_ms)
        message = {"op": "prepare", **remote.preparation(described)}
        job = WorkerJob(message, ticket, plan, lambda: plan)
        self._pool.submit(job)
        reply, tensor = await job.future
        return ticket.work._replace(payload=tensor, is_picture=False), job.queue_ms, float(reply["decode_ms"])

    async def _exchange(self, described: RemoteModel, work: Work, limit_s: float) -> _Exchange:
        """Ask the model, in its turn. Raises UpstreamError."""
        body, length = described.request(work)
        waiting = perf_counter()
        async with self._client.turns:
            start = perf_counter()
            response = await self._client.infer(described.served.name, body, length, limit_s)
        top, raw = described.read(response, work)
        return _Exchange(top, raw, (start - waiting) * 1e3, (perf_counter() - start) * 1e3)

    async def _ask(self, known: _UpstreamModel, work: Work) -> _Exchange:
        """Send it, and count whether it went well. Raises UpstreamError, ImageError."""
        try:
            answer = await self._exchange(known.remote, work, known.limit_s)
        except UpstreamError as error:
            if error.failure == FailureKind.REJECTED and work.is_picture and work is not known.sample:
                if await self._try(known):
                    raise ImageError("the picture cannot be read: send a whole JPEG, PNG or WebP", None) from error
            else:
                self._failed(known, error)
            raise
        self._reached()
        if known.breaker.succeeded():
            self._tell("upstream model up", upstream=self.name, model=known.name)
        return answer

    async def _try(self, known: _UpstreamModel) -> bool:
        """Whether the model does what it is known to do well."""
        try:
            await self._ask(known, known.sample)
        except UpstreamError:
            return False
        return True

    def _learn(self, known: _UpstreamModel, work: Work, result: InferenceResult, whole_ms: float) -> None:
        known.learned.used_at = monotonic()
        known.learned.invoke.add(result.infer_ms)
        self.table.write(known.row, known.learned.invoke.distribution)
        if known.remote.feed and work.picture:
            known.learned.decode.add(work.picture, result.decode_ms)
        self._overhead.add(whole_ms, result.queue_ms + result.decode_ms + result.infer_ms)

    # Health

    async def _check(self) -> None:
        try:
            await self._client.ready(_HEALTH_S)
        except UpstreamError as error:
            # Its own word that it is not ready leaves no doubt, and neither does a connection refused.
            self._lost(error, at_once=error.failure not in (FailureKind.CUT, FailureKind.LATE))
        else:
            if not self._breaker.closed:  # it answers this without being able to infer: that alone redeems nothing
                self._reached()

    def _failed(self, known: _UpstreamModel, error: UpstreamError) -> None:
        if error.failure in _LOST:
            self._lost(error, at_once=error.failure == FailureKind.REFUSED)
        else:
            self._reached()
        # A lost connection is the server's failure alone, unless this was the model's probe.
        blamed = error.failure not in (FailureKind.REFUSED, FailureKind.CUT) or not known.breaker.closed
        if blamed and known.breaker.failed(monotonic()):
            self._tell("upstream model down", upstream=self.name, model=known.name, reason=str(error))

    def _lost(self, error: UpstreamError, at_once: bool) -> None:
        if self._breaker.failed(monotonic(), at_once):
            self._tell("upstream down", upstream=self.name, reason=str(error))

    def _reached(self) -> None:
        if self._breaker.succeeded():
            self._tell("upstream up", upstream=self.name)

    def _remeasure(self, now: float) -> None:
        """Time a model that has not run for long while nothing else goes on: an old bad figure must not exile it."""
        if self._in_flight or self._tasks:
            return
        for known in self._known.values():
            cost_s = _AGAIN * known.learned.invoke.distribution.mean_ms / 1e3
            if self.available(known.name) and known.learned.stale(now, max(_STALE_S, cost_s / _SHARE)):
                known.learned.used_at = now
                self._spawn(self._time_again(known))
                return

    async def _time_again(self, known: _UpstreamModel) -> None:
        with contextlib.suppress(OnDeviceError):
            known.learned.renew([(await self._ask(known, known.sample)).round_trip_ms for _ in range(_AGAIN)])
            if known.remote.feed:
                await self._sample(known.remote, known.learned.decode)
            self.table.write(known.row, known.learned.invoke.distribution)

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _decoding(known: _UpstreamModel, ticket: Ticket) -> Ticket:
    """The part of its turn that is done here, due so much sooner as the other server takes."""
    ahead_s = known.learned.invoke.distribution.mean_ms / 1e3
    return Ticket(known.name, ticket.work, ticket.due - ahead_s, ticket.expires)


def _seeded(published: Profile | None, times_ms: list[float]) -> Recent:
    """What is known of a model's round trip at first.

    Where its server has learned the inference's distribution, it is that one, later by what the way there and back and
    decoding are seen to add.
    """
    if published is None:
        return Recent(times_ms)
    known = published.distribution
    added_ms = max(float(np.median(times_ms)) - known.median_ms, 0.0)
    return Recent.seeded(known.shifted(added_ms), published.n)
