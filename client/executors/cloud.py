"""The endpoint as an executor: its replies are learned from, and its failures contained."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Coroutine
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

from ondevice.answer import Answer
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.idle import ConnectionPool
from ondevice.client.connection.messages import HttpReply
from ondevice.client.endpoint.description import Aside, EndpointDescription, PreparedRequest, RequestContext
from ondevice.client.endpoint.reply import ParsedReply
from ondevice.client.executors import lessons
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.executors.discovery import EndpointDiscovery
from ondevice.client.executors.health import CloudHealth
from ondevice.client.executors.uploads import Uploads
from ondevice.client.network import NetworkEstimates, OwnAddress
from ondevice.client.picture import Upload
from ondevice.errors import FailureKind, OnDeviceError, UpstreamError
from ondevice.timing.arrays import FloatArray

_log = logging.getLogger("ondevice.client")

# In place of a connection that was given up, another one is opened for the next request; after so long that would not
# be worth waiting for.
_SPARE_S = 2.0


class Location(NamedTuple):
    """Where the endpoint is, its bearer token, and how its certificate is judged, if it has one."""

    address: ServerAddress
    token: str | None = None
    tls: ssl.SSLContext | None = None


class SendOptions(NamedTuple):
    """How a request is sent. device_top1: what the endpoint's answer must be better than. guard_ms: so long before the
    deadline it must be there. keep_s: how long after the deadline its reply is still of interest. anytime: how many
    answers it may give, one after the other.
    """

    device_top1: float = 0.0
    guard_ms: float = 0.0
    keep_s: float = 0.0
    anytime: int = 1


class CloudAttempt(Attempt):
    """A request at the endpoint. prepared: what was sent last. received: its last answer, and that model's accuracy."""

    received: tuple[Answer, float | None] | None = None
    prepared: PreparedRequest | None = None
    work: asyncio.Task[None] | None = None

    def cancel(self) -> None:
        """Give it up, and close its connection."""
        super().cancel()
        if self.work:
            self.work.cancel()


class Sending(NamedTuple):
    """A request that is to be sent. until: when its reply is of no more interest, by perf_counter."""

    attempt: CloudAttempt
    endpoint: EndpointDescription
    upload: Upload
    options: SendOptions
    until: float


class Sent(NamedTuple):
    """What was sent, when, by perf_counter, and what connecting had taken, ms."""

    prepared: PreparedRequest
    started: float
    connected_ms: float


class CloudExecutor:
    """Asks the endpoint at a server. aside: runs what blocks or computes.

    labels: the classes that its models must have; empty: any. The endpoint need not be there: until it is, and whenever
    it is not, attempts fail.
    """

    def __init__(self, server: Location, aside: Aside) -> None:
        self._server = server
        self.labels: tuple[str, ...] = ()
        self.network, self.health = NetworkEstimates(), CloudHealth()
        self._own_address = OwnAddress()
        self.connections = ConnectionPool(*server, self._opened)
        self.discovery = EndpointDiscovery(self.connections, self.health)
        self._uploads, self._aside = Uploads(self.network, aside), aside
        self._under_way: set[asyncio.Task[None]] = set()

    def begin_anew(self) -> None:
        """Leave the connections to the parent of a fork; what was learned stays."""
        self.connections.abandon()
        self.connections = ConnectionPool(*self._server, self._opened)
        self.discovery.begin_anew(self.connections)
        self.health.breaker.abandoned()
        self._under_way = set()

    @property
    def endpoint(self) -> EndpointDescription | None:
        """What is known of its models; None until they are."""
        return self.discovery.endpoint

    @property
    def problem(self) -> UpstreamError | None:
        """Why it failed last, until something succeeds."""
        return self.health.problem

    def overhead_ms(self, size_bytes: int) -> FloatArray:
        """[21] equally likely times, ms, of all but the inference, for a picture whose file has this size."""
        return self._uploads.overhead_ms(size_bytes, self.endpoint.side if self.endpoint else 0)

    def begin(self, task: Task, options: SendOptions) -> Attempt:
        """Send the task's picture."""
        # As long as nothing is known, its answer may be worth anything.
        attempt = CloudAttempt(task, "cloud", self.endpoint.best_top1 if self.endpoint else 1.0)
        attempt.work = self._spawn(self._run(attempt, options))
        return attempt

    def close(self) -> None:
        """Close all connections."""
        self.connections.close()

    # A request

    async def _run(self, attempt: CloudAttempt, options: SendOptions) -> None:
        try:
            await self._answer(attempt, options)
        except asyncio.CancelledError:
            self._too_late(attempt)
            raise
        except UpstreamError as error:
            attempt.end(error)
            self._failed(attempt, error)
        except OnDeviceError as error:
            attempt.end(error)
        except Exception as error:  # whatever it is, the one who waits must hear of it
            attempt.end(UpstreamError(f"{type(error).__name__}: {error}", FailureKind.WRONG))
            _log.exception("a request to the endpoint failed")

    async def _answer(self, attempt: CloudAttempt, options: SendOptions) -> None:
        """Send the picture, and hand in each answer. Raises ImageError, UpstreamError."""
        if held_ms := self.health.held_ms(attempt.task.sla_ms):
            raise UpstreamError(f"it asked not to be asked for another {held_ms:.0f} ms", FailureKind.BUSY)
        until = attempt.task.until + options.keep_s
        endpoint = await self.discovery.known(until)
        upload = await self._uploads.of(attempt.task.picture, endpoint.side)
        sending = Sending(attempt, endpoint, upload, options, until)
        try:
            await self._exchange(sending)
        except UpstreamError as error:  # the endpoint may not have understood how
            again = attempt.prepared is not None and endpoint.again(attempt.prepared, error)
            if not (again and self.health.budget.allows):
                raise
            await self._exchange(sending)
        if attempt.received is None:
            raise UpstreamError("its answer is empty", FailureKind.WRONG)
        # Only now: the next request finds the connection free.
        attempt.end(*attempt.received)

    async def _exchange(self, sending: Sending) -> None:
        """Send it, and take in what comes: on a connection that was kept, which its server may have closed just then,
        or a new one.
        """
        if stream := self.connections.take():
            try:
                return await self._ask(sending, stream, 0.0)
            except UpstreamError as error:
                lost = error.failure is FailureKind.CUT and not stream.heard
                if not (lost and self.health.budget.allows):
                    raise
        begun = perf_counter()
        stream = await self.connections.open(sending.until)
        return await self._ask(sending, stream, (perf_counter() - begun) * 1e3)

    async def _ask(self, sending: Sending, stream: HttpStream, connected_ms: float) -> None:
        try:
            prepared = await self._prepare(sending)
            sent = Sent(prepared, perf_counter(), connected_ms)
            await stream.ask(prepared.request, sending.until, partial(self._receive, sending, sent))
        finally:
            self.connections.keep(stream)  # if it is still open

    async def _prepare(self, sending: Sending) -> PreparedRequest:
        attempt, options, network = sending.attempt, sending.options, self.network
        task, size_bytes = attempt.task, len(sending.upload.body)
        context = RequestContext(
            max(task.sla_ms - task.elapsed_ms - options.guard_ms, 0.001),
            network.points_ms(size_bytes),
            network.fixed_ms(),
            options.device_top1,
            task.top,
            network.reply(),
            # A second answer is sent for its own sake.
            options.anytime if self.health.budget.allows else 1,
        )
        attempt.prepared = prepared = await sending.endpoint.prepare(sending.upload, context, self._aside)
        attempt.sent_bytes = len(prepared.request.body)
        return prepared

    def _receive(self, sending: Sending, sent: Sent, reply: HttpReply) -> None:
        """Take an answer. Raises UpstreamError."""
        attempt, took_ms = sending.attempt, (perf_counter() - sent.started) * 1e3
        parsed = sending.endpoint.read(sent.prepared, reply)
        self._check_labels(parsed)
        size_bytes = len(sent.prepared.request.body)
        if attempt.received is None:  # the first answer alone tells of the network
            lessons.of_reply(self.network, parsed, size_bytes, took_ms)
        sending.endpoint.record_inference(parsed.model, lessons.inference_ms(parsed, took_ms))
        if self.health.succeeded():
            self.discovery.outdated()
        attempt.received = _answer_of(parsed, attempt.task, took_ms + sent.connected_ms), parsed.top1
        if not parsed.last:
            attempt.end(*attempt.received, last=False)

    def _check_labels(self, parsed: ParsedReply) -> None:
        """See that its classes are ours. Raises UpstreamError."""
        for index, label, _ in parsed.top if self.labels else ():
            if not index < len(self.labels) or self.labels[index] != label:
                ours = self.labels[index] if index < len(self.labels) else "none"
                message = f"its class {index} is '{label[:60]}', the device's '{ours}': its models have other labels"
                raise UpstreamError(message, FailureKind.WRONG)

    # What comes of it

    def _failed(self, attempt: CloudAttempt, error: UpstreamError) -> None:
        if error.failure is FailureKind.LATE:
            self._too_late(attempt)
        elif self.health.failed(error, attempt.task.sla_ms):
            self.connections.drop()

    def _too_late(self, attempt: CloudAttempt) -> None:
        """Learn that nothing had come by now, and have a connection for the next request in place of its own."""
        if attempt.prepared is None:
            return
        if attempt.received is None:
            elapsed_ms = (perf_counter() - attempt.begun) * 1e3
            lessons.of_silence(self.network, self.endpoint, attempt.prepared, elapsed_ms)
        if self.health.breaker.closed:
            self._spawn(self._open_spare())

    async def _open_spare(self) -> None:
        try:
            self.connections.keep(await self.connections.open(perf_counter() + _SPARE_S))
        except UpstreamError as error:
            if error.failure is not FailureKind.LATE and self.health.failed(error):
                self.connections.drop()

    def _opened(self, stream: HttpStream) -> None:
        """A new connection tells what a round trip takes, and whether this is another network: Wi-Fi, or mobile."""
        if self._own_address.changed(stream.family, stream.local):
            self.network.forget()
        self.network.connected(stream.connect_ms)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.get_running_loop().create_task(work)
        self._under_way.add(task)  # the loop itself would forget it
        task.add_done_callback(self._under_way.discard)
        return task


def _answer_of(parsed: ParsedReply, task: Task, took_ms: float) -> Answer:
    """took_ms: since it was sent, connecting included."""
    network_ms = max(took_ms - (parsed.server_ms or 0.0), 0.0)
    return Answer(
        parsed.top, parsed.model, "", 0, parsed.decode_ms, parsed.infer_ms, task.elapsed_ms,
        where="cloud", queue_ms=parsed.queue_ms, network_ms=network_ms,
    )  # fmt: skip
