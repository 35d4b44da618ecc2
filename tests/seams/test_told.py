"""What a running endpoint tells of its requests: a log, and figures that Prometheus reads."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from typing import NamedTuple

import pytest
import requests

pytest.importorskip("prometheus_client", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from metrics import samples
from serving import BY_RAY, FAMILY, PICTURE, Endpoint

SMALL, BETTER = FAMILY[:2]
# What is no HTTP Ray's proxy refuses by itself.
RUBBISH = 0 if BY_RAY else 1


class Told(NamedTuple):
    """By an endpoint that was asked some things, and then ended."""

    endpoint: Endpoint
    metrics: requests.Response


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    with Endpoint(tmp_path_factory.mktemp("told"), "--models", f"{SMALL},{BETTER}") as running:
        running.classify(sla_ms=5000)
        running.classify(picture=b"no picture")
        running.classify(SMALL, sla_ms=0.001)
        running.ask("GET", "/nowhere")
        running.say(b"rubbish\r\n\r\n")
        running.ask("POST", f"/v2/repository/models/{SMALL}/unload")
        metrics = running.ask("GET", "/metrics")
        assert running.stop(signal.SIGTERM) == 0
        yield Told(running, metrics)


def test_a_line_a_request_with_all_that_was_decided(told: Told) -> None:
    done, bad, late, nowhere, *rubbish, unload, _ = told.endpoint.log("request")
    assert (done["status"], done["method"], done["bytes"]) == (200, "POST", len(PICTURE))
    assert (done["selected_model"], done["policy"], done["on_time"]) == (BETTER, "effective", True)
    assert done["total_ms"] > done["infer_ms"] > 0
    assert 4000 < done["budget_ms"] <= 5000
    assert (bad["status"], bad["bytes"]) == (400, 10)
    assert "is not a picture" in bad["error"]
    assert (late["selected_model"], late["policy"], late["on_time"]) == (SMALL, "named", False)
    assert (nowhere["status"], nowhere["path"], nowhere["peer"]) == (404, "/nowhere", "127.0.0.1")
    assert ([line["status"] for line in rubbish], unload["status"]) == ([400] * RUBBISH, 200)
    assert [line["model"] for line in told.endpoint.log("unloaded")] == [SMALL]


def test_it_is_scraped(told: Told) -> None:
    assert told.metrics.headers["content-type"].startswith("text/plain")
    found = samples(told.metrics.text)
    for operation, status, count in (
        ("infer", 200, 2), ("infer", 400, 1), ("unload", 200, 1), ("unknown", 404, 1), ("unknown", 400, RUBBISH),
    ):  # fmt: skip
        assert found.get(("ondevice_requests_total", (("operation", operation), ("status", str(status)))), 0) == count
    timed = {labels: value for (name, labels), value in found.items() if name == "ondevice_request_seconds_count"}
    assert timed == {(("operation", "infer"),): 2, (("operation", "unload"),): 1}, "none that was refused"
    assert [found["ondevice_infer_seconds_count", (("model", name),)] for name in (SMALL, BETTER)] == [1, 1]
    assert found["ondevice_late_total", ()] >= 1
    assert found["ondevice_ready", (("backend", "local"),)] == 1
    assert found["ondevice_waiting", (("backend", "local"),)] == 0
    assert found["ondevice_events_total", (("event", "unloaded"),)] == 1


def test_without_requests(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Endpoint(tmp_path_factory.mktemp("quiet"), "--models", SMALL, "--no-log-requests") as running:
        running.classify()
        running.ask("GET", "/nowhere")
        running.ask("POST", f"/v2/repository/models/{SMALL}/unload")
        running.stop()
    assert running.log("request") == []
    assert len(running.log("unloaded")) == 1
