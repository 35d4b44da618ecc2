"""The log: one JSON object a line."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")


from ondevice.cloud.app.log import Log


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_events_are_written_at_once_and_counted() -> None:
    stream, counted = io.StringIO(), []
    log = Log(stream, requests=True, counted=counted.append)
    log.event("loaded", model="net", load_ms=1.23456)
    (line,) = lines(stream)
    assert line["time"].endswith("+00:00")
    assert {key: line[key] for key in line if key != "time"} == {"event": "loaded", "model": "net", "load_ms": 1.235}
    assert counted == ["loaded"]


def test_requests_are_written_in_order_with_the_events() -> None:
    stream = io.StringIO()
    log = Log(stream, requests=True, counted=lambda event: None)
    log.request({"status": 200, "path": "/a"})
    log.request({"status": 404, "path": 'a"\n\u2028\x1b[31m'})
    log.event("worker died", worker=1)
    log.request({"status": 200, "path": "/b"})
    log.flush()
    assert stream.getvalue().count("\n") == 4
    assert stream.getvalue().isascii()
    assert [line["event"] for line in lines(stream)] == ["request", "request", "worker died", "request"]
    assert lines(stream)[1]["path"] == 'a"\n\u2028\x1b[31m'


def test_requests_can_be_left_out() -> None:
    stream = io.StringIO()
    log = Log(stream, requests=False, counted=lambda event: None)
    log.request({"status": 200})
    log.event("unloaded", model="net")
    log.flush()
    assert [line["event"] for line in lines(stream)] == ["unloaded"]


def test_a_log_that_nobody_reads_is_no_reason_to_stop() -> None:
    stream = io.StringIO()
    log = Log(stream, requests=True, counted=lambda event: None)
    stream.close()
    log.event("loaded")
    log.request({"status": 200})
    log.flush()
