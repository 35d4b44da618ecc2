"""What Prometheus can scrape of the endpoint."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ondevice.cloud.backend import Backend, Result

_WAITING = 500
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Counters and histograms of one server, in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Histogram

        self._registry = registry = CollectorRegistry()
        self._requests = Counter("ondevice_requests", "HTTP requests answered", ["status"], registry=registry)
        self._late = Counter("ondevice_late", "Answers after the server's budget for them", registry=registry)
        self._refused = Counter("ondevice_refused", "Requests that would have been late, refused", registry=registry)
        self._events = Counter(
            "ondevice_events", "What happened, by the log's name for it", ["event"], registry=registry
        )
        self._request = Histogram(
            "ondevice_request_seconds", "From a request's first byte to its reply", buckets=_SECONDS, registry=registry
        )
        self._queue = Histogram("ondevice_queue_seconds", "Wait for a worker", buckets=_SECONDS, registry=registry)
        # Observations are counted together, when there are many or somebody looks: so each costs a tenth.
        self._answered: list[tuple[int, float]] = []
        self._inferred: list[tuple[str, float, float]] = []
        self._infer = Histogram("ondevice_infer_seconds", "Inference", ["model"], buckets=_SECONDS, registry=registry)

    def watch(self, backends: Sequence[Backend]) -> None:
        """Read the queues of these when scraped."""
        from prometheus_client import Gauge

        waiting = Gauge("ondevice_waiting", "Requests in the queue", ["backend"], registry=self._registry)
        ready = Gauge("ondevice_ready", "Whether the backend can run anything", ["backend"], registry=self._registry)
        for backend in backends:
            waiting.labels(backend.name).set_function(lambda b=backend: b.waiting)  # type: ignore[misc]
            ready.labels(backend.name).set_function(lambda b=backend: b.ready())  # type: ignore[misc]

    def request(self, status: int, total_ms: float) -> None:
        """A request was answered."""
        self._answered.append((status, total_ms))
        if len(self._answered) >= _WAITING:
            self._count()

    def inference(self, result: Result, late: bool) -> None:
        """A backend has answered."""
        self._inferred.append((result.model, result.queue_ms, result.infer_ms))
        self._late.inc(late)

    def refused(self) -> None:
        """A request was refused."""
        self._refused.inc()

    def event(self, name: str) -> None:
        """Something happened that an operator counts."""
        self._events.labels(name).inc()

    def text(self) -> tuple[str, bytes]:
        """The exposition: its content type and its text."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        self._count()
        return CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def _count(self) -> None:
        for status, total_ms in self._answered:
            self._requests.labels(status).inc()
            self._request.observe(total_ms / 1e3)
        for model, queue_ms, infer_ms in self._inferred:
            self._queue.observe(queue_ms / 1e3)
            self._infer.labels(model).observe(infer_ms / 1e3)
        self._answered.clear()
        self._inferred.clear()
