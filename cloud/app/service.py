"""The service without its transport: what answers each request, and what becomes of errors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ondevice.cloud.app import failures, responses, routes
from ondevice.cloud.app.about import About
from ondevice.cloud.app.accounting import Accounting
from ondevice.cloud.app.calls import Call, Operation
from ondevice.cloud.app.directory import Directory
from ondevice.cloud.app.gate import Gate
from ondevice.cloud.app.incoming import Incoming
from ondevice.cloud.app.inference import Inference
from ondevice.cloud.app.log import Log
from ondevice.cloud.app.messages import Head, Request, Response
from ondevice.cloud.app.metrics import Metrics
from ondevice.cloud.app.readiness import Readiness
from ondevice.cloud.app.replies import InferenceReplies
from ondevice.cloud.app.repository_extension import RepositoryExtension
from ondevice.cloud.app.statistics import Statistics
from ondevice.cloud.app.streams import AnswerStreams
from ondevice.cloud.select.selector import Selector
from ondevice.cloud.select.traffic import Traffic


class Service:
    """Answers with a selector's models those whom the gate lets in. accounting: where requests are noted."""

    def __init__(self, selector: Selector, log: Log, metrics: Metrics, gate: Gate) -> None:
        self._log, self._gate, self.accounting = log, gate, Accounting(log, metrics)
        directory = Directory(selector.backends)
        statistics = Statistics(directory.names)
        replies = InferenceReplies(selector, directory, metrics, statistics)
        streams = AnswerStreams(replies, self.accounting, log.event)
        inference = Inference(selector, directory, replies, streams, log.event)
        large = inference.large.budget
        metrics.gauge("decoding_bytes", "What large pictures take to decode", lambda: large.held)
        metrics.gauge("decoding_waiting", "Large pictures that wait for room", lambda: large.waiting)
        _show(metrics, selector.expectations.traffic)
        self._readiness = Readiness(selector, directory)
        about = About(selector, directory, metrics, statistics)
        repository = RepositoryExtension(selector, directory)
        self._operations = _operations(about, self._readiness, repository, inference)

    def stop(self) -> None:
        """Say from now on that it is not ready; what is asked is answered as before."""
        self._readiness.stopping = True

    def flush(self) -> None:
        """Write the log so far; call it a few times a second."""
        self._log.flush()

    def refusal(self, status: int, message: str) -> Response:
        """An error of the transport as a reply."""
        return self.accounting.refuse_unread(status, message)

    def begin(self, head: Head) -> Incoming | Response:
        """The request whose head this is; a refusal where its body is not wanted."""
        refusal = self._gate.refusal(head)
        if refusal:
            return self.accounting.refuse(head, refusal.status, refusal.message, *refusal.headers)
        return Incoming(head, self._handle, self.accounting.refuse)

    async def _handle(self, request: Request) -> Response:
        fields: dict[str, Any] = {}
        try:
            route = routes.find(request.head.method, request.head.path)
            response = await self._operations[route.operation](Call(route.model, request, fields))
        except failures.EXPECTED as error:
            self.accounting.failed(fields, error)
            response = failures.response(error)
        except Exception:
            self.accounting.fault(request.head)
            response = responses.refused(500, "internal error")
        if isinstance(response.body, bytes):
            self.accounting.finished(request, response.status, fields)
        return responses.compressed(response, request.head.headers.get("accept-encoding"))


def _show(metrics: Metrics, traffic: Traffic) -> None:
    """Whether more workers are needed, for Prometheus."""
    crowded_out = "Those that were not, though an idle server could have answered them"
    metrics.counter("admitted", "Requests for which a model was chosen", lambda: traffic.admitted)
    metrics.counter("crowded_out", crowded_out, lambda: traffic.crowded_out)
    metrics.counter("price", "Over them, what a worker's time cost, each from 0 to 1", lambda: traffic.price)
    metrics.counter("worked_seconds", "For how long workers were kept by what was answered", lambda: traffic.worked_s)


def _operations(
    about: About, readiness: Readiness, repository: RepositoryExtension, inference: Inference
) -> Mapping[str, Operation]:
    """What answers, by the names that the routes have for it."""
    return {
        "server": about.server,
        "model": about.model,
        "config": about.config,
        "stats": about.stats,
        "all_stats": about.all_stats,
        "openapi": about.openapi,
        "metrics": about.metrics,
        "live": readiness.live,
        "ready": readiness.ready,
        "model_ready": readiness.model_ready,
        "index": repository.index,
        "load": repository.load,
        "unload": repository.unload,
        "select": inference.select,
        "infer": inference.infer,
    }
