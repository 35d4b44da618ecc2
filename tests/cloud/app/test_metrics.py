"""What Prometheus reads."""

from __future__ import annotations

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from given_backend import Given
from metrics import Samples, samples

from ondevice.cloud.app.metrics import Metrics
from ondevice.cloud.backends.backend import InferenceResult


def read(metrics: Metrics) -> Samples:
    return samples(metrics.text()[1].decode())


def test_what_happens_is_counted() -> None:
    metrics = Metrics()
    metrics.request("infer", 200, 12.0)
    metrics.request("infer", 200, 3.0)
    metrics.request("model", 200, 1.0)
    metrics.request("infer", 503, 0.0)
    metrics.unread(408)
    metrics.refused()
    metrics.event("worker died")
    metrics.inference(InferenceResult("net", [], queue_ms=2.0, infer_ms=7.0), late=True)
    metrics.inference(InferenceResult("net", [], queue_ms=0.0, infer_ms=3.0), late=False)
    found = read(metrics)
    assert {
        tuple(value for _, value in labels): count
        for (name, labels), count in found.items()
        if name == "ondevice_requests_total"
    } == {("infer", "200"): 2, ("model", "200"): 1, ("infer", "503"): 1, ("unknown", "408"): 1}
    assert found["ondevice_refused_total", ()] == found["ondevice_late_total", ()] == 1
    assert found["ondevice_events_total", (("event", "worker died"),)] == 1
    assert found["ondevice_infer_seconds_count", (("model", "net"),)] == 2
    assert found["ondevice_infer_seconds_sum", (("model", "net"),)] == pytest.approx(0.010)
    assert found["ondevice_infer_seconds_bucket", (("le", "0.005"), ("model", "net"))] == 1
    assert found["ondevice_queue_seconds_count", ()] == 2
    infer = (("operation", "infer"),)
    assert found["ondevice_request_seconds_count", infer] == 2, "how long a refusal takes says nothing of answers"
    assert found["ondevice_request_seconds_sum", infer] == pytest.approx(0.015)
    assert found["ondevice_request_seconds_bucket", (("le", "0.005"), *infer)] == 1


def test_backends_of_one_name_are_one_server() -> None:
    """Of a server that lists no models each is named by an upstream of its own."""
    one, other, local = Given("gpu:8000"), Given("gpu:8000"), Given("local")
    metrics = Metrics()
    metrics.watch([local, one, other])
    one.is_ready = False
    there = (("backend", "gpu:8000"),)
    assert read(metrics)["ondevice_ready", there] == 1
    other.is_ready = False
    found = read(metrics)
    assert (found["ondevice_ready", there], found["ondevice_ready", (("backend", "local"),)]) == (0, 1)
    one.queue.waits, other.queue.waits = 2, 3
    assert read(metrics)["ondevice_waiting", there] == 5


def test_two_servers_of_one_process_do_not_share_them() -> None:
    one, other = Metrics(), Metrics()
    one.refused()
    assert (read(one)["ondevice_refused_total", ()], read(other)["ondevice_refused_total", ()]) == (1, 0)
