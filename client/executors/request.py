"""One request to an endpoint, from its picture to what its replies teach."""

from __future__ import annotations

import asyncio
import logging
import math
from functools import partial
from time import perf_counter
from typing import NamedTuple

from ondevice.answer import Answer
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.messages import HttpReply
from ondevice.client.endpoint.description import EndpointDescription, PreparedRequest, RequestContext
from ondevice.client.endpoint.reply import ParsedReply
from ondevice.client.executors import lessons
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.executors.link import EndpointLink
from ondevice.client.executors.upload_menu import UploadQuestion
from ondevice.client.picture import Upload
from ondevice.client.upload_choice import UploadChoice
from ondevice.errors import FailureKind, OnDeviceError, UpstreamError

_log = logging.getLogger("ondevice.client")


class SendOptions(NamedTuple):
    """How a request is sent. device_top1: what the endpoint's answer must be better than. guard_ms: so long before the
    deadline it must be there. keep_s: how long after the deadline its reply is still of interest. anytime: how many
    answers it may give, one after the other. upload: what is sent; None: that is chosen when the endpoint is known.
    lasts_ms: after how long it is given up at the soonest; inf: never.
    """

    device_top1: float = 0.0
    guard_ms: float = 0.0
    keep_s: float = 0.0
    anytime: int = 1
    upload: UploadChoice | None = None
    lasts_ms: float = math.inf


class Sending(NamedTuple):
    """What is to be sent of a picture, and to what. until: when its reply is of no more interest, by perf_counter."""

    endpoint: EndpointDescription
    upload: Upload
    until: float


class Sent(NamedTuple):
    """What was sent, when, by perf_counter, and what connecting had taken, ms."""

    prepared: PreparedRequest
    started: float
    connected_ms: float


class CloudAttempt(Attempt):
    """A request at the endpoint. prepared: what was sent last. received: its last answer, and that model's accuracy."""

    received: tuple[Answer, float | None] | None = None
    prepared: PreparedRequest | None = None

    def __init__(self, task: Task, options: SendOptions, link: EndpointLink) -> None:
        endpoint = link.discovery.endpoint
        # As long as nothing is known, its answer may be worth anything.
        super().__init__(task, "cloud", endpoint.best_top1 if endpoint else 1.0)
        self._options, self._link = options, link
        self._work = link.spawn(self._run())

    def cancel(self) -> None:
        """Give it up, and close its connection."""
        super().cancel()
        self._work.cancel()

    async def _run(self) -> None:
        try:
            await self._answer()
        except asyncio.CancelledError:
            self._too_late()
            raise
        except UpstreamError as error:
            self.end(error)
            if error.failure is FailureKind.LATE:
                self._too_late()
            else:
                self._link.failed(error, self.task.sla_ms)
        except OnDeviceError as error:
            self.end(error)
        except Exception as error:  # whatever it is, the one who waits must hear of it
            self.end(UpstreamError(f"{type(error).__name__}: {error}", FailureKind.WRONG))
            _log.exception("a request to the endpoint failed")

    async def _answer(self) -> None:
        """Send the picture, and hand in each answer. Raises ImageError, UpstreamError."""
        task, link = self.task, self._link
        if held_ms := link.health.held_ms(task.sla_ms):
            raise UpstreamError(f"it asked not to be asked for another {held_ms:.0f} ms", FailureKind.BUSY)
        until = task.until + self._options.keep_s
        endpoint = await link.discovery.known(until)
        sending = Sending(endpoint, await self._upload(endpoint), until)
        try:
            await self._exchange(sending)
        except UpstreamError as error:  # the endpoint may not have understood how
            again = self.prepared is not None and endpoint.again(self.prepared, error)
            if not (again and link.health.budget.allows):
                raise
            await self._exchange(sending)
        if self.received is None:
            raise UpstreamError("its answer is empty", FailureKind.WRONG)
        # Only now: the next request finds the connection free.
        self.end(*self.received)

    async def _upload(self, endpoint: EndpointDescription) -> Upload:
        """What is sent. Raises ImageError."""
        uploads = self._link.uploads
        question = UploadQuestion(endpoint, self.task.picture, self._left_ms, self._options.device_top1)
        made = await uploads.make(question, self._options.upload or uploads.choose(question).choice)
        self.upload = made.text
        return made

    @property
    def _left_ms(self) -> float:
        """Until the answer has to be there."""
        return max(self.task.sla_ms - self.task.elapsed_ms - self._options.guard_ms, 0.001)

    async def _exchange(self, sending: Sending) -> None:
        """Send it, and take in what comes: on a connection that was kept, which its server may have closed just then,
        or a new one.
        """
        self._link.spares.expect(self.task.sla_ms, self._options.lasts_ms)
        if stream := self._link.connections.take():
            try:
                return await self._ask(sending, stream, 0.0)
            except UpstreamError as error:
                lost = error.failure is FailureKind.CUT and not stream.heard
                if not (lost and self._link.health.budget.allows):
                    raise
        begun, link = perf_counter(), self._link
        link.waited += 1
        # What has closed one that was kept may have closed all of them.
        stream = await (link.connections.open if stream else link.spares.wait)(sending.until)
        return await self._ask(sending, stream, (perf_counter() - begun) * 1e3)

    async def _ask(self, sending: Sending, stream: HttpStream, connected_ms: float) -> None:
        try:
            prepared = await self._prepare(sending)
            sent = Sent(prepared, perf_counter(), connected_ms)
            receive = partial(self._receive, sending, sent)
            await stream.ask(prepared.request, sending.until, receive, self._link.spares.fill)
        finally:
            self._link.connections.keep(stream)  # if it is still open

    async def _prepare(self, sending: Sending) -> PreparedRequest:
        task, options, network = self.task, self._options, self._link.network
        size_bytes = len(sending.upload.body)
        context = RequestContext(
            self._left_ms,
            partial(network.points_ms, size_bytes),
            network.fixed_ms(),
            options.device_top1,
            task.top,
            network.reply(),
            # A second answer is sent for its own sake.
            options.anytime if self._link.health.budget.allows else 1,
        )
        self.prepared = prepared = await sending.endpoint.prepare(sending.upload, context, self._link.aside)
        self.sent_bytes = len(prepared.request.body)
        return prepared

    def _receive(self, sending: Sending, sent: Sent, reply: HttpReply) -> None:
        """Take an answer. Raises UpstreamError."""
        took_ms = (perf_counter() - sent.started) * 1e3
        parsed = sending.endpoint.read(sent.prepared, reply)
        _check_labels(parsed, self._link.labels)
        if self.received is None:  # the first answer alone tells of the network
            lessons.of_reply(self._link.network, parsed, len(sent.prepared.request.body), took_ms)
            if parsed.server_ms is not None:
                self._link.spares.replied(took_ms - parsed.server_ms)
        sending.endpoint.record_inference(parsed.model, lessons.inference_ms(parsed, took_ms))
        self._link.succeeded()
        self.received = _answer_of(parsed, self.task, took_ms + sent.connected_ms), parsed.top1
        if not parsed.last:
            self.end(*self.received, last=False)

    def _too_late(self) -> None:
        """Learn that nothing had come by now, and have a connection for the next request in place of its own."""
        if self.received is None:
            elapsed_ms = (perf_counter() - self.begun) * 1e3
            lessons.of_silence(self._link.network, self._link.discovery.endpoint, self.prepared, elapsed_ms)
        self._link.spares.given_up()


def _check_labels(parsed: ParsedReply, ours: tuple[str, ...]) -> None:
    """See that its classes are ours. Raises UpstreamError."""
    for index, label, _ in parsed.top if ours else ():
        own = ours[index] if index < len(ours) else "none"
        if index >= len(ours) or label != own:
            message = f"its class {index} is '{label[:60]}', the device's '{own}': its models have other labels"
            raise UpstreamError(message, FailureKind.WRONG)


def _answer_of(parsed: ParsedReply, task: Task, took_ms: float) -> Answer:
    """took_ms: since it was sent, connecting included."""
    network_ms = max(took_ms - (parsed.server_ms or 0.0), 0.0)
    return Answer(
        parsed.top, parsed.model, "", 0, parsed.decode_ms, parsed.infer_ms, task.elapsed_ms,
        where="cloud", queue_ms=parsed.queue_ms, network_ms=network_ms,
    )  # fmt: skip
