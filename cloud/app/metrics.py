"""What Prometheus can scrape of the endpoint."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from ondevice.cloud.app.routes import UNKNOWN

if TYPE_CHECKING:
    from prometheus_client import Metric

    from ondevice.cloud.backends.backend import Backend, InferenceResult

# The bounds of the histograms: Prometheus's own below 10 s, and two more for the smallest CNNs.
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)
# HTTP's first status that is not an answer.
_REFUSED = 400
# The bounds in ms.
_BOUNDS_MS = tuple(1e3 * bound for bound in _SECONDS)


class _Times:
    """A histogram. Several are added to at every request, where prometheus_client's own take locks and labels."""

    def __init__(self) -> None:
        self._counts, self.sum_s = [0] * (len(_SECONDS) + 1), 0.0

    def add(self, ms: float) -> None:
        self._counts[bisect_left(_BOUNDS_MS, ms)] += 1
        self.sum_s += ms / 1e3

    @property
    def buckets(self) -> list[tuple[str, float]]:
        """How many took at most as long as each bound, s."""
        return list(zip((*map(str, _SECONDS), "+Inf"), map(float, accumulate(self._counts)), strict=True))


class Metrics:
    """Counters and histograms of one server, in a registry of their own."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry
        from prometheus_client import Counter as Counted

        self._registry = registry = CollectorRegistry()
        self._refused = Counted("ondevice_refused", "Requests that would have been late, refused", registry=registry)
        self._events = Counted(
            "ondevice_events", "What happened, by the log's name for it", ["event"], registry=registry
        )
        # What is counted at every request.
        self._requests: Counter[tuple[str, int]] = Counter()
        self._late = 0
        self._queue = _Times()
        self._request: defaultdict[str, _Times] = defaultdict(_Times)
        self._infer: defaultdict[str, _Times] = defaultdict(_Times)
        # What others count: names, what they mean, and where the number is read.
        self._read: list[tuple[str, str, Callable[[], float]]] = []
        registry.register(self)

    def watch(self, backends: Sequence[Backend]) -> None:
        """Read the queues of these when scraped."""
        from prometheus_client import Gauge

        waiting = Gauge("ondevice_waiting", "Requests in the queue", ["backend"], registry=self._registry)
        ready = Gauge("ondevice_ready", "Whether the backend can run anything", ["backend"], registry=self._registry)
        by_name: defaultdict[str, list[Backend]] = defaultdict(list)
        for backend in backends:  # those of one server, of which several models were named, have one name
            by_name[backend.name].append(backend)
        for name, alike in by_name.items():
            waiting.labels(name).set_function(lambda a=alike: sum(b.queue.waiting for b in a))  # type: ignore[misc]
            ready.labels(name).set_function(lambda a=alike: any(b.ready() for b in a))  # type: ignore[misc]

    def counter(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Read a number that only grows when scraped; its name is given without `ondevice_`."""
        self._read.append((f"ondevice_{name}", meaning, read))

    def gauge(self, name: str, meaning: str, read: Callable[[], float]) -> None:
        """Read a number that comes and goes when scraped; its name is given without `ondevice_`."""
        from prometheus_client import Gauge

        Gauge(f"ondevice_{name}", meaning, registry=self._registry).set_function(read)

    def request(self, operation: str, status: int, total_ms: float) -> None:
        """A request was answered. operation: its route's. total_ms: since its first byte.

        How long refusals take says nothing of how long an answer takes, and an attack is many of them.
        """
        self._requests[operation, status] += 1
        if status < _REFUSED:
            self._request[operation].add(total_ms)

    def unread(self, status: int) -> None:
        """What cannot be read as a request was refused."""
        self._requests[UNKNOWN, status] += 1

    def inference(self, result: InferenceResult, late: bool) -> None:
        """A backend has answered."""
        self._queue.add(result.queue_ms)
        self._infer[result.model].add(result.infer_ms)
        self._late += late

    def refused(self) -> None:
        """A request was refused."""
        self._refused.inc()

    def event(self, name: str) -> None:
        """Something happened that an operator counts."""
        self._events.labels(name).inc()

    def text(self) -> tuple[str, bytes]:
        """The exposition: its content type and its text."""
        from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

        return CONTENT_TYPE_LATEST, generate_latest(self._registry)

    def collect(self) -> Iterator[Metric]:
        """For the registry: what is counted at every request."""
        from prometheus_client.metrics_core import CounterMetricFamily, HistogramMetricFamily

        requests = CounterMetricFamily("ondevice_requests", "HTTP requests answered", labels=["operation", "status"])
        for (operation, status), count in self._requests.items():
            requests.add_metric([operation, str(status)], count)
        yield requests
        yield CounterMetricFamily("ondevice_late", "Answers after the server's budget for them", self._late)
        for name, meaning, read in self._read:
            yield CounterMetricFamily(name, meaning, read())
        yield HistogramMetricFamily(
            "ondevice_queue_seconds", "Wait for a worker", self._queue.buckets, self._queue.sum_s
        )
        for name, text, label, histograms in (
            ("ondevice_request_seconds", "From a request's first byte to its answer", "operation", self._request),
            ("ondevice_infer_seconds", "Inference", "model", self._infer),
        ):
            family = HistogramMetricFamily(name, text, labels=[label])
            for value, times in histograms.items():
                family.add_metric([value], times.buckets, times.sum_s)
            yield family
