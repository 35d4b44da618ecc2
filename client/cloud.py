"""The endpoint as a place to classify: connections kept and made anew, what it says learned, its faults contained."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from ondevice.answer import Answer
from ondevice.client import reply as answers
from ondevice.client import wire
from ondevice.client.attempt import Attempt, Task
from ondevice.client.face import Asking, Face, Question
from ondevice.client.network import CENSORED, Network, Sample
from ondevice.client.picture import Scaling, Sent, side_for
from ondevice.client.plain import Plain
from ondevice.client.published import NAME, Published
from ondevice.client.published import question as choosing
from ondevice.client.wire import Address, Connection, Reply, Request
from ondevice.errors import FailureKind, ImageError, OnDeviceError, UpstreamError
from ondevice.protocol import replies
from ondevice.resilience.breaker import Breaker

_log = logging.getLogger("ondevice.client")

# At once: requests, questions, and those that hang in resolving a name, which nothing can end.
_THREADS = 8
# A connection that was idle for so long may have been forgotten on its way; routers do so silently.
_IDLE_S = 60.0
# Models' times are asked for again so often; replies tell of those in use.
_ASK_AGAIN_S = 60.0
# A question besides the requests may take so long; less where it is to find out whether the endpoint is back.
_QUESTION_S, _PROBE_S = 5.0, 2.0
# Failures that another try at once does not mend.
_CERTAIN = (FailureKind.REFUSED, FailureKind.DENIED, FailureKind.UNTRUSTED)
# Failures that say nothing of whether the endpoint is well.
_NO_FAULT = (FailureKind.BUSY, FailureKind.REJECTED)
# That a server has no such model: which of them it says, is not agreed on.
_UNKNOWN = (FailureKind.MISSING, FailureKind.REJECTED)
# A scaled picture must be so much sooner there.
_WORTH_MS = 2.0


class Way(NamedTuple):
    """How a request is sent. device_top1: what the endpoint's answer must be better than. keep_s: how long after the
    deadline its reply is still of interest. anytime: how many answers it may give, one after the other.
    """

    device_top1: float = 0.0
    guard_ms: float = 0.0
    keep_s: float = 0.0
    anytime: int = 1


class CloudAttempt(Attempt):
    """A request at the endpoint. sent_bytes: of its body, as soon as it is sent. model: the one that it names.

    heard: its last answer, and that model's accuracy.
    """

    sent_bytes = 0
    heard: tuple[Answer, float | None] | None = None
    model = ""
    connection: Connection | None = None

    def cancel(self) -> None:
        """Give it up, and close its connection."""
        super().cancel()
        if self.connection:
            self.connection.cancel()


_Made = tuple[Face | None, Question]


class Asked(NamedTuple):
    """A question, whose it is, when it was sent, by perf_counter, and what connecting had taken, ms."""

    face: Face | None
    question: Question
    started: float
    connected_ms: float


class Cloud:
    """Asks the endpoint at `url`. token: its bearer token, or None. verify: see `wire.context`.

    labels: the classes that its models must have; empty: any. The endpoint need not be there: until it is, and whenever
    it is not, attempts fail. Raises UsageError for what is no URL.
    """

    def __init__(self, url: str, token: str | None = None, verify: bool | str | Path = True) -> None:
        self._address, self._token = Address.parse(url), wire.bearer(token)
        self._tls = wire.context(verify) if self._address.scheme == "https" else None
        self.network, self.breaker = Network(), Breaker()
        self.face: Face | None = None
        self.labels: tuple[str, ...] = ()
        self.problem: UpstreamError | None = None
        self._scaling = Scaling()
        self._idle: deque[tuple[Connection, float]] = deque()
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="ondevice-cloud")
        self._local = ""
        self._described_at = -_ASK_AGAIN_S
        self._describing = threading.RLock()
        self._closed = False

    @property
    def best_top1(self) -> float:
        """The accuracy of its best model; as long as nothing is known, 1."""
        return self.face.best_top1 if self.face else 1.0

    def close(self) -> None:
        """Close all connections."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._drop()

    def tend(self) -> None:
        """Do what is due besides requests, without waiting for it: a probe, or asking for the models again."""
        now = perf_counter()
        if self.breaker.probe(now):
            self._spawn(self._describe, _PROBE_S)
        elif self.breaker.closed and now - self._described_at > (_ASK_AGAIN_S if self.face else _QUESTION_S):
            self._described_at = now
            self._spawn(self._describe_once)

    def ready(self, timeout_s: float) -> bool:
        """Ask for its models, if that is not done, and wait for the answer; `problem` has what is wrong otherwise."""
        with self._describing:  # it may be under way
            if self.face is None:
                self._describe(timeout_s)
        return self.problem is None

    def sending(self, size_bytes: int) -> tuple[float, bool]:
        """What getting a file of this size there is expected to take, ms, and whether it is scaled first."""
        as_is_ms = self.network.sending_ms(size_bytes)
        side = self._side
        if not side:
            return as_is_ms, False
        scaling_ms, scaled_bytes = self._scaling.expect(side)
        scaled_ms = scaling_ms + self.network.sending_ms(scaled_bytes)
        return (scaled_ms, True) if scaled_ms + _WORTH_MS < as_is_ms else (as_is_ms, False)

    def around_ms(self, size_bytes: int) -> Any:
        """[21] equally likely times, ms, of all but the inference, for a picture whose file has this size."""
        if not self.sending(size_bytes)[1]:
            return self.network.points_ms(size_bytes)
        scaling_ms, scaled_bytes = self._scaling.expect(self._side)
        return self.network.points_ms(scaled_bytes) + scaling_ms

    @property
    def _side(self) -> int:
        """Of scaled pictures; 0: its models do not tell.

        Before they are asked, what most want: over a bad link whole pictures may leave the question itself no room.
        """
        return side_for(self.face.side) if self.face else _ANY_SIDE

    def begin(self, task: Task, *, way: Way) -> CloudAttempt:
        """Send the task's picture."""
        attempt = CloudAttempt(task, "cloud", self.best_top1)
        if not self._spawn(self._run, attempt, way):
            attempt.end(UpstreamError("the client is closed", FailureKind.REFUSED))
        return attempt

    # On the pool's threads

    def _run(self, attempt: CloudAttempt, way: Way) -> None:
        if attempt.cancelled.is_set():
            return
        try:
            self._answer(attempt, way)
        except OnDeviceError as error:
            if not attempt.cancelled.is_set():
                attempt.end(error)
        except Exception as error:  # whatever it is, the one who waits must hear of it
            _log.exception("a request to the endpoint failed")
            attempt.end(UpstreamError(f"{type(error).__name__}: {error}", FailureKind.WRONG))

    def _answer(self, attempt: CloudAttempt, way: Way) -> None:
        """Send the picture, and hand in each answer. Raises ImageError, UpstreamError."""
        try:
            sent = self._sent(attempt.task)
            self._exchange(attempt, lambda: self._question(attempt, sent, way), attempt.task.until + way.keep_s)
            if attempt.heard is None:
                raise UpstreamError("its answer is empty", FailureKind.WRONG)
        except UpstreamError as error:
            self._failed(attempt, error)
            raise
        # Only now: the next request finds the connection free.
        attempt.end(*attempt.heard)

    def _hear(self, attempt: CloudAttempt, asked: Asked, reply: Reply) -> None:
        """Take an answer. Raises UpstreamError."""
        took_ms = (perf_counter() - asked.started) * 1e3
        said = asked.face.read(asked.question, reply) if asked.face else answers.read(reply)
        self._compare(said)
        self._learn(len(asked.question.request.body), took_ms, said, first=attempt.heard is None)
        network_ms = asked.connected_ms + took_ms - (said.server_ms or 0.0)
        answer = Answer(
            said.top, said.model, "", 0, said.decode_ms, said.infer_ms, attempt.task.elapsed_ms,
            where="cloud", queue_ms=said.queue_ms, network_ms=max(network_ms, 0.0),
        )  # fmt: skip
        attempt.heard = answer, said.top1
        if not said.last:
            attempt.end(*attempt.heard, last=False)

    def _compare(self, said: answers.Said) -> None:
        """See that its classes are ours. Raises UpstreamError."""
        for index, label, _ in said.top if self.labels else ():
            if not index < len(self.labels) or self.labels[index] != label:
                ours = self.labels[index] if index < len(self.labels) else "none"
                message = f"its class {index} is '{label[:60]}', the device's '{ours}': its models have other labels"
                raise UpstreamError(message, FailureKind.WRONG)

    def _sent(self, task: Task) -> Sent:
        """What is sent of the picture. Raises ImageError."""
        picture = task.picture
        if picture.file is None:
            return self._scaling.apply(picture, self._side or _ANY_SIDE)
        if self.sending(len(picture.file))[1]:
            try:
                return self._scaling.apply(picture, self._side)
            except ImageError:  # the endpoint may read what is not readable here, or says what is wrong with it
                pass
        return Sent(picture.file, picture.kind, scaled=False)

    def _question(self, attempt: CloudAttempt, sent: Sent, way: Way) -> _Made:
        task, face = attempt.task, self.face
        left_ms = max(task.sla_ms - task.elapsed_ms - way.guard_ms, 0.001)
        around_ms, return_ms = self.network.points_ms(len(sent.body)), self.network.fixed_ms()
        asking = Asking(left_ms, around_ms, return_ms, way.device_top1, task.top, self.network.law())
        asking = asking._replace(anytime=way.anytime if face else 1)  # older ones know of no more
        question = face.question(sent, asking) if face else choosing(sent, asking)
        attempt.sent_bytes, attempt.model = len(question.request.body), question.model
        return face, question

    def _exchange(self, attempt: CloudAttempt, question: Callable[[], _Made], until: float) -> None:
        """Ask, on a connection that was kept, or else a new one, and hear what comes.

        One that was kept may have been closed by the server just then: then again, on a new one.
        """
        connection, connected_ms = self._take(), 0.0
        for kept in (True, False):
            if connection is None:
                begun = perf_counter()
                connection, kept = self._connect(until), False
                connected_ms = (perf_counter() - begun) * 1e3
            attempt.connection = connection
            if attempt.cancelled.is_set():
                connection.close()
                raise UpstreamError("given up", FailureKind.LATE)
            asked = Asked(*question(), perf_counter(), connected_ms)
            try:
                connection.ask(asked.question.request, until, partial(self._hear, attempt, asked))
            except UpstreamError as error:
                if not kept or connection.heard or error.failure != FailureKind.CUT or attempt.cancelled.is_set():
                    attempt.connection = None
                    self._keep(connection)  # if it is open: after a refusal
                    raise
                connection = None
            else:
                attempt.connection = None
                self._keep(connection)
                return
        raise AssertionError("a new connection is not tried twice")

    def _failed(self, attempt: CloudAttempt, error: UpstreamError) -> None:
        if attempt.cancelled.is_set() or error.failure == FailureKind.LATE:
            if attempt.heard is None:
                self._late(attempt, (perf_counter() - attempt.begun) * 1e3)
            if self.breaker.closed:
                self._spawn(self._spare)
        elif error.failure not in _NO_FAULT:
            self._fault(error)

    def _late(self, attempt: CloudAttempt, elapsed_ms: float) -> None:
        """Learn that nothing had come by then."""
        if self.face and attempt.model and not self.network.fixed_ms():  # all is counted as the model's
            self.face.ran(attempt.model, CENSORED * elapsed_ms)
        else:
            self.network.add_late(attempt.sent_bytes, elapsed_ms)

    def _fault(self, error: UpstreamError) -> None:
        if self.problem is None or error.failure != self.problem.failure:
            _log.warning("the cloud fails: %s", error)
        self.problem = error
        if self.breaker.failed(perf_counter(), at_once=error.failure in _CERTAIN):
            self._drop()

    def _well(self) -> None:
        if self.problem:
            _log.warning("the cloud answers again")
        self.problem = None
        if self.breaker.succeeded():
            self._described_at = -_ASK_AGAIN_S  # it may be another one

    def _learn(self, size_bytes: int, took_ms: float, said: answers.Said, first: bool) -> None:
        """first: whether it is the request's first answer, which alone tells of the network."""
        infer_ms = took_ms if said.server_ms is None else min(said.infer_ms, took_ms)
        if first:
            self._learn_network(size_bytes, took_ms, infer_ms, said)
        if self.face:
            self.face.ran(said.model, infer_ms)
        self._well()

    def _learn_network(self, size_bytes: int, took_ms: float, infer_ms: float, said: answers.Said) -> None:
        if said.server_ms is None:  # then all of it is the model's
            self.network.add(Sample(0.0, 0.0, 0.0))
        else:
            server_ms = min(said.server_ms, took_ms)
            network_ms = took_ms - server_ms
            if said.upload_ms is not None:
                upload_ms = min(said.upload_ms, network_ms)
                self.network.replied(upload_ms, network_ms - upload_ms)
            split = self.network.split(size_bytes, network_ms, said.upload_ms)
            self.network.add(Sample(*split, max(server_ms - infer_ms, 0.0)))

    def _spare(self) -> None:
        """Have a connection for the next request, in place of one that was given up."""
        try:
            self._keep(self._connect(perf_counter() + _PROBE_S))
        except UpstreamError as error:
            if error.failure != FailureKind.LATE:
                self._fault(error)

    def _describe(self, timeout_s: float = _QUESTION_S) -> None:
        """Ask for its models."""
        with self._describing:
            self._described_at = perf_counter()
            try:
                self.face = self._found(perf_counter() + timeout_s)
            except UpstreamError as error:
                self._fault(error)
            except Exception as error:  # a probe that never ends would be the last
                _log.exception("asking the endpoint for its models failed")
                self._fault(UpstreamError(f"{type(error).__name__}: {error}", FailureKind.WRONG))
            else:
                self._well()

    def _describe_once(self) -> None:
        """The same, unless it was asked for meanwhile."""
        due = self._described_at
        with self._describing:
            if self._described_at == due:
                self._describe()

    def _found(self, until: float) -> Face:
        try:
            metadata = replies.parsed(self._ask(Request("GET", f"/v2/models/{NAME}"), until).body)
        except UpstreamError as error:
            if error.failure not in _UNKNOWN:
                raise
            if isinstance(self.face, Plain):  # it goes on learning
                return self.face
            return Plain.found(lambda request: self._ask(request, until))
        if not isinstance(metadata, Mapping):
            raise UpstreamError("what it says of its models is not an object", FailureKind.WRONG)
        return Published(metadata)

    def _ask(self, request: Request, until: float) -> Reply:
        connection = self._take() or self._connect(until)
        try:
            return connection.ask(request, until)
        finally:
            self._keep(connection)

    # Connections

    def _take(self) -> Connection | None:
        with contextlib.suppress(IndexError):  # there is none, or no longer: other threads take too
            while True:
                connection, since = self._idle.pop()
                if perf_counter() - since < _IDLE_S and connection.usable:
                    return connection
                connection.close()
        return None

    def _keep(self, connection: Connection) -> None:
        if connection.usable:
            self._idle.append((connection, perf_counter()))
        else:
            connection.close()
        if self._closed:
            self._drop()

    def _drop(self) -> None:
        with contextlib.suppress(IndexError):
            while True:
                self._idle.pop()[0].close()

    def _connect(self, until: float) -> Connection:
        connection = Connection(self._address, self._token, self._tls, until)
        if self._local and connection.local != self._local:
            self.network.forget()  # this device has another address: Wi-Fi instead of mobile, or the other way
        self._local = connection.local
        self.network.connected(connection.connect_ms)
        return connection

    def _spawn(self, work: Callable[..., None], *arguments: object) -> bool:
        try:
            self._pool.submit(work, *arguments)
        except RuntimeError:  # closed
            return False
        return True


# When nothing is known of the endpoint's models: those of ImageNet mostly want 224.
_ANY_SIDE = side_for(224)
