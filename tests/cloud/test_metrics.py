"""What Prometheus reads."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("prometheus_client", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from prometheus_client.parser import text_string_to_metric_families
from serving import FAMILY, Endpoint

from ondevice.cloud.backend import InferenceResult
from ondevice.cloud.metrics import Metrics

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples(text: str) -> Samples:
    """By name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def read(metrics: Metrics) -> Samples:
    return samples(metrics.text()[1].decode())


def test_what_happens_is_counted() -> None:
    metrics = Metrics()
    metrics.request(200, 12.0)
    metrics.request(200, 3.0)
    metrics.request(503, 0.0)
    metrics.refused()
    metrics.event("worker died")
    metrics.inference(InferenceResult("net", [], queue_ms=2.0, infer_ms=7.0), late=True)
    metrics.inference(InferenceResult("net", [], queue_ms=0.0, infer_ms=3.0), late=False)
    found = read(metrics)
    assert found["ondevice_requests_total", (("status", "200"),)] == 2
    assert found["ondevice_requests_total", (("status", "503"),)] == 1
    assert found["ondevice_refused_total", ()] == found["ondevice_late_total", ()] == 1
    assert found["ondevice_events_total", (("event", "worker died"),)] == 1
    assert found["ondevice_infer_seconds_count", (("model", "net"),)] == 2
    assert found["ondevice_infer_seconds_sum", (("model", "net"),)] == pytest.approx(0.010)
    assert found["ondevice_infer_seconds_bucket", (("le", "0.005"), ("model", "net"))] == 1
    assert found["ondevice_queue_seconds_count", ()] == 2
    assert found["ondevice_request_seconds_bucket", (("le", "0.025"),)] >= 2


def test_two_servers_of_one_process_do_not_share_them() -> None:
    one, other = Metrics(), Metrics()
    one.refused()
    assert (read(one)["ondevice_refused_total", ()], read(other)["ondevice_refused_total", ()]) == (1, 0)


def test_a_running_endpoint_is_scraped(tmp_path: Path) -> None:
    with Endpoint(tmp_path, "--models", FAMILY[0]) as running:
        for _ in range(3):
            running.classify()
        running.classify(sla_ms=0.001)
        running.ask("GET", "/nowhere")
        running.ask("POST", f"/v2/repository/models/{FAMILY[0]}/unload")
        reply = running.ask("GET", "/metrics")
    assert reply.headers["content-type"].startswith("text/plain")
    found = samples(reply.text)
    assert found["ondevice_requests_total", (("status", "200"),)] == 5
    assert found["ondevice_requests_total", (("status", "404"),)] == 1
    assert found["ondevice_infer_seconds_count", (("model", FAMILY[0]),)] == 4
    assert found["ondevice_late_total", ()] >= 1
    assert found["ondevice_ready", (("backend", "local"),)] == 1
    assert found["ondevice_waiting", (("backend", "local"),)] == 0
    assert found["ondevice_events_total", (("event", "unloaded"),)] == 1
