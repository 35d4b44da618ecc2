"""The endpoint as an executor: its replies are learned from, and its failures contained."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from ondevice.answer import Answer
from ondevice.client.connection import address as addresses
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.connection import HttpConnection
from ondevice.client.connection.messages import HttpReply, HttpRequest
from ondevice.client.connection.pool import IdleConnections
from ondevice.client.endpoint import reply as answers
from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint, picture_request
from ondevice.client.endpoint.description import EndpointDescription, PreparedRequest, RequestContext
from ondevice.client.endpoint.generic import GenericEndpoint
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.network import CENSORED, NetworkEstimates, NetworkSample
from ondevice.client.picture import Scaling, Upload, side_for
from ondevice.errors import FailureKind, ImageError, OnDeviceError, UpstreamError
from ondevice.resilience.breaker import Breaker

_log = logging.getLogger("ondevice.client")

# At once: requests, metadata, and those that hang in resolving a name, which nothing can end; a phone has one or two
# requests under way, so that six may hang before the next one waits.
_THREADS = 8
# Models' times are asked for again so often: replies tell of those in use, so only the others grow old meanwhile.
_REFRESH_S = 60.0
# Asking for metadata may take so long, as a slow mobile network does; a probe, which keeps requests waiting for its
# result, no longer than a request would be worth waiting for.
_METADATA_S, _PROBE_S = 5.0, 2.0
# Failures that another try at once does not mend.
_CERTAIN = (FailureKind.REFUSED, FailureKind.DENIED, FailureKind.UNTRUSTED)
# Failures that say nothing of whether the endpoint is well.
_NO_FAULT = (FailureKind.BUSY, FailureKind.REJECTED)
# A scaled picture must be expected so much sooner there: scaling costs some accuracy, and the estimate is that rough.
_MIN_GAIN_MS = 2.0


class SendOptions(NamedTuple):
    """How a request is sent. device_top1: what the endpoint's answer must be better than. keep_s: how long after the
    deadline its reply is still of interest. anytime: how many answers it may give, one after the other.
    """

    device_top1: float = 0.0
    guard_ms: float = 0.0
    keep_s: float = 0.0
    anytime: int = 1


class CloudAttempt(Attempt):
    """A request at the endpoint. sent_bytes: of its body, as soon as it is sent. prepared: what was sent last.

    received: its last answer, and that model's accuracy.
    """

    sent_bytes = 0
    received: tuple[Answer, float | None] | None = None
    prepared: PreparedRequest | None = None
    connection: HttpConnection | None = None

    def cancel(self) -> None:
        """Give it up, and close its connection."""
        super().cancel()
        if self.connection:
            self.connection.cancel()


class SentRequest(NamedTuple):
    """A request, who reads its reply, when it was sent, by perf_counter, and what connecting had taken, ms."""

    endpoint: EndpointDescription | None
    prepared: PreparedRequest
    started: float
    connected_ms: float


_Prepared = tuple[EndpointDescription | None, PreparedRequest]


class CloudExecutor:
    """Asks the endpoint at `url`. token: its bearer token, or None. verify: see `addresses.tls_context`. host: the
    Host that it is to be asked for, where that is not the URL's.

    labels: the classes that its models must have; empty: any. The endpoint need not be there: until it is, and whenever
    it is not, attempts fail. Raises UsageError for what is not a URL.
    """

    def __init__(
        self, url: str, token: str | None = None, verify: bool | str | Path = True, host: str | None = None
    ) -> None:
        address = ServerAddress.parse(url, host)
        tls = addresses.tls_context(verify) if address.scheme == "https" else None
        self.network, self.breaker = NetworkEstimates(), Breaker()
        self._connections = IdleConnections(address, addresses.bearer(token), tls, self.network)
        self.endpoint: EndpointDescription | None = None
        self.labels: tuple[str, ...] = ()
        self.problem: UpstreamError | None = None
        self._scaling = Scaling()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="ondevice-cloud")
        self._described_at = -_REFRESH_S
        self._describing = threading.RLock()

    @property
    def best_top1(self) -> float:
        """The accuracy of its best model; as long as nothing is known, 1."""
        return self.endpoint.best_top1 if self.endpoint else 1.0

    def close(self) -> None:
        """Close all connections."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._connections.close()

    def maintain(self) -> None:
        """Do what is due besides requests, without waiting for it: a probe, or asking for the models again."""
        now = perf_counter()
        if self.breaker.probe(now):
            self._spawn(self._refresh, _PROBE_S)
        elif self.breaker.closed and now - self._described_at > (_REFRESH_S if self.endpoint else _METADATA_S):
            self._described_at = now
            self._spawn(self._refresh_once)

    def ready(self, timeout_s: float) -> bool:
        """Ask for its models, if that is not done, and wait for the answer; `problem` has what is wrong otherwise."""
        with self._describing:  # it may be under way
            if self.endpoint is None:
                self._refresh(timeout_s)
        return self.problem is None

    def sending(self, size_bytes: int) -> tuple[float, bool]:
        """What getting a file of this size there is expected to take, ms, and whether it is scaled first."""
        as_is_ms = self.network.sending_ms(size_bytes)
        side = self._side
        if not side:
            return as_is_ms, False
        scaling_ms, scaled_bytes = self._scaling.expect(side)
        scaled_ms = scaling_ms + self.network.sending_ms(scaled_bytes)
        return (scaled_ms, True) if scaled_ms + _MIN_GAIN_MS < as_is_ms else (as_is_ms, False)

    def overhead_ms(self, size_bytes: int) -> Any:
        """[21] equally likely times, ms, of all but the inference, for a picture whose file has this size."""
        if not self.sending(size_bytes)[1]:
            return self.network.points_ms(size_bytes)
        scaling_ms, scaled_bytes = self._scaling.expect(self._side)
        return self.network.points_ms(scaled_bytes) + scaling_ms

    @property
    def _side(self) -> int:
        """The side of scaled pictures; 0: its models do not tell.

        Before their metadata is there, what most models want: over a bad link whole pictures may leave no room for it.
        """
        return side_for(self.endpoint.side) if self.endpoint else _ANY_SIDE

    def begin(self, task: Task, *, options: SendOptions) -> CloudAttempt:
        """Send the task's picture."""
        attempt = CloudAttempt(task, "cloud", self.best_top1)
        if not self._spawn(self._run, attempt, options):
            attempt.end(UpstreamError("the client is closed", FailureKind.REFUSED))
        return attempt

    # On the pool's threads

    def _run(self, attempt: CloudAttempt, options: SendOptions) -> None:
        if attempt.cancelled.is_set():
            return
        try:
            self._answer(attempt, options)
        except OnDeviceError as error:
            if not attempt.cancelled.is_set():
                attempt.end(error)
        except Exception as error:  # whatever it is, the one who waits must hear of it
            _log.exception("a request to the endpoint failed")
            attempt.end(UpstreamError(f"{type(error).__name__}: {error}", FailureKind.WRONG))

    def _answer(self, attempt: CloudAttempt, options: SendOptions) -> None:
        """Send the picture, and hand in each answer. Raises ImageError, UpstreamError."""
        try:
            upload = self._upload(attempt.task)
            self._ask_for(attempt, upload, options)
            if attempt.received is None:
                raise UpstreamError("its answer is empty", FailureKind.WRONG)
        except UpstreamError as error:
            self._failed(attempt, error)
            raise
        # Only now: the next request finds the connection free.
        attempt.end(*attempt.received)

    def _ask_for(self, attempt: CloudAttempt, upload: Upload, options: SendOptions) -> None:
        """Send it, and once more where the endpoint may not have understood how. Raises ImageError, UpstreamError."""
        until = attempt.task.until + options.keep_s
        try:
            self._exchange(attempt, lambda: self._prepare(attempt, upload, options), until)
        except UpstreamError as error:
            if not (self.endpoint and attempt.prepared and self.endpoint.again(attempt.prepared, error)):
                raise
            self._exchange(attempt, lambda: self._prepare(attempt, upload, options), until)

    def _receive(self, attempt: CloudAttempt, sent: SentRequest, reply: HttpReply) -> None:
        """Take an answer. Raises UpstreamError."""
        took_ms = (perf_counter() - sent.started) * 1e3
        parsed = sent.endpoint.read(sent.prepared, reply) if sent.endpoint else answers.read(reply)
        self._check_labels(parsed)
        self._learn(len(sent.prepared.request.body), took_ms, parsed, first=attempt.received is None)
        network_ms = sent.connected_ms + took_ms - (parsed.server_ms or 0.0)
        answer = Answer(
            parsed.top, parsed.model, "", 0, parsed.decode_ms, parsed.infer_ms, attempt.task.elapsed_ms,
            where="cloud", queue_ms=parsed.queue_ms, network_ms=max(network_ms, 0.0),
        )  # fmt: skip
        attempt.received = answer, parsed.top1
        if not parsed.last:
            attempt.end(*attempt.received, last=False)

    def _check_labels(self, parsed: answers.ParsedReply) -> None:
        """See that its classes are ours. Raises UpstreamError."""
        for index, label, _ in parsed.top if self.labels else ():
            if not index < len(self.labels) or self.labels[index] != label:
                ours = self.labels[index] if index < len(self.labels) else "none"
                message = f"its class {index} is '{label[:60]}', the device's '{ours}': its models have other labels"
                raise UpstreamError(message, FailureKind.WRONG)

    def _upload(self, task: Task) -> Upload:
        """What is sent of the picture. Raises ImageError."""
        picture = task.picture
        if picture.file is None:
            return self._scaling.apply(picture, self._side or _ANY_SIDE)
        if self.sending(len(picture.file))[1]:
            try:
                return self._scaling.apply(picture, self._side)
            except ImageError:  # the endpoint may read what is not readable here, or says what is wrong with it
                pass
        return Upload(picture.file, picture.kind, scaled=False)

    def _prepare(self, attempt: CloudAttempt, upload: Upload, options: SendOptions) -> _Prepared:
        task, endpoint = attempt.task, self.endpoint
        left_ms = max(task.sla_ms - task.elapsed_ms - options.guard_ms, 0.001)
        overhead_ms, return_ms = self.network.points_ms(len(upload.body)), self.network.fixed_ms()
        context = RequestContext(left_ms, overhead_ms, return_ms, options.device_top1, task.top, self.network.reply())
        context = context._replace(anytime=options.anytime if endpoint else 1)  # older ones know of no more
        prepared = endpoint.prepare(upload, context) if endpoint else picture_request(upload, context)
        attempt.prepared, attempt.sent_bytes = prepared, len(prepared.request.body)
        return endpoint, prepared

    def _exchange(self, attempt: CloudAttempt, prepare: Callable[[], _Prepared], until: float) -> None:
        """Send the request on a connection that was kept, or else a new one, and take in what comes.

        One that was kept may have been closed by the server just then: then again, on a new one.
        """
        connection, connected_ms = self._connections.take(), 0.0
        for kept in (True, False):
            if connection is None:
                begun = perf_counter()
                connection, kept = self._connections.open(until), False
                connected_ms = (perf_counter() - begun) * 1e3
            attempt.connection = connection
            if attempt.cancelled.is_set():
                connection.close()
                raise UpstreamError("given up", FailureKind.LATE)
            sent = SentRequest(*prepare(), perf_counter(), connected_ms)
            try:
                connection.ask(sent.prepared.request, until, partial(self._receive, attempt, sent))
            except UpstreamError as error:
                if not kept or connection.heard or error.failure != FailureKind.CUT or attempt.cancelled.is_set():
                    attempt.connection = None
                    self._connections.keep(connection)  # if it is open: after a refusal
                    raise
                connection = None
            else:
                attempt.connection = None
                self._connections.keep(connection)
                return
        raise AssertionError("a new connection is not tried twice")

    def _failed(self, attempt: CloudAttempt, error: UpstreamError) -> None:
        if attempt.cancelled.is_set() or error.failure == FailureKind.LATE:
            if attempt.received is None:
                self._learn_late(attempt, (perf_counter() - attempt.begun) * 1e3)
            if self.breaker.closed:
                self._spawn(self._open_spare)
        elif error.failure not in _NO_FAULT:
            self._record_failure(error)

    def _learn_late(self, attempt: CloudAttempt, elapsed_ms: float) -> None:
        """Learn that nothing had come by then."""
        model = attempt.prepared.model if attempt.prepared else ""
        if self.endpoint and model and not self.network.fixed_ms():  # all is counted as the model's
            self.endpoint.record_inference(model, CENSORED * elapsed_ms)
        else:
            self.network.add_late(attempt.sent_bytes, elapsed_ms)

    def _record_failure(self, error: UpstreamError) -> None:
        if self.problem is None or error.failure != self.problem.failure:
            _log.warning("the cloud fails: %s", error)
        self.problem = error
        if self.breaker.failed(perf_counter(), at_once=error.failure in _CERTAIN):
            self._connections.drop()

    def _record_success(self) -> None:
        if self.problem:
            _log.warning("the cloud answers again")
        self.problem = None
        if self.breaker.succeeded():
            self._described_at = -_REFRESH_S  # it may be another one

    def _learn(self, size_bytes: int, took_ms: float, parsed: answers.ParsedReply, first: bool) -> None:
        """Learn from an answer. first: whether it is the request's first answer, which alone tells of the network."""
        infer_ms = took_ms if parsed.server_ms is None else min(parsed.infer_ms, took_ms)
        if first:
            self._learn_network(size_bytes, took_ms, infer_ms, parsed)
        if self.endpoint:
            self.endpoint.record_inference(parsed.model, infer_ms)
        self._record_success()

    def _learn_network(self, size_bytes: int, took_ms: float, infer_ms: float, parsed: answers.ParsedReply) -> None:
        if parsed.server_ms is None:  # then all of it is the model's
            self.network.add(NetworkSample(0.0, 0.0, 0.0))
        else:
            server_ms = min(parsed.server_ms, took_ms)
            network_ms = took_ms - server_ms
            if parsed.upload_ms is not None:
                upload_ms = min(parsed.upload_ms, network_ms)
                self.network.replied(upload_ms, network_ms - upload_ms)
            split = self.network.split(size_bytes, network_ms, parsed.upload_ms)
            self.network.add(NetworkSample(*split, max(server_ms - infer_ms, 0.0)))

    def _open_spare(self) -> None:
        """Have a connection for the next request, in place of one that was given up."""
        try:
            self._connections.keep(self._connections.open(perf_counter() + _PROBE_S))
        except UpstreamError as error:
            if error.failure != FailureKind.LATE:
                self._record_failure(error)

    def _refresh(self, timeout_s: float = _METADATA_S) -> None:
        """Ask for its models."""
        with self._describing:
            self._described_at = perf_counter()
            try:
                self.endpoint = self._found(perf_counter() + timeout_s)
            except UpstreamError as error:
                self._record_failure(error)
            except Exception as error:  # a probe that never ends would be the last
                _log.exception("asking the endpoint for its models failed")
                self._record_failure(UpstreamError(f"{type(error).__name__}: {error}", FailureKind.WRONG))
            else:
                self._record_success()

    def _refresh_once(self) -> None:
        """Ask for its models, unless another thread has done so meanwhile."""
        due = self._described_at
        with self._describing:
            if self._described_at == due:
                self._refresh()

    def _found(self, until: float) -> EndpointDescription:
        def ask(request: HttpRequest) -> HttpReply:
            return self._ask(request, until)

        if chooser := CnnSelectEndpoint.discover(ask):
            return chooser
        if isinstance(self.endpoint, GenericEndpoint):  # it goes on learning
            return self.endpoint
        return GenericEndpoint.discover(ask)

    def _ask(self, request: HttpRequest, until: float) -> HttpReply:
        connection = self._connections.take() or self._connections.open(until)
        try:
            return connection.ask(request, until)
        finally:
            self._connections.keep(connection)

    def _spawn(self, work: Callable[..., None], *arguments: object) -> bool:
        try:
            self._pool.submit(work, *arguments)
        except RuntimeError:  # closed
            return False
        return True


# When nothing is known of the endpoint's models: those of ImageNet mostly want 224.
_ANY_SIDE = side_for(224)
