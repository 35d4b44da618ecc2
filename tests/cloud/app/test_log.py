"""The log: one JSON object a line."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.app.log import LibraryLog, Log
from ondevice.cloud.app.log_writer import LogWriter

PATIENCE_S = 30.0


def written(folder: Path, use: Callable[[Log], None], requests: bool = True) -> str:
    """What a log has written when it was used like this, and closed."""
    path = folder / "log"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT)
    writer = LogWriter(descriptor)
    os.close(descriptor)
    use(Log(writer, requests, counted=lambda event: None))
    writer.close(PATIENCE_S)
    assert writer.dropped == 0
    return path.read_text()


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_events_are_written_at_once_and_counted() -> None:
    reading, writing = os.pipe()
    counted: list[str] = []
    writer = LogWriter(writing)
    Log(writer, requests=True, counted=counted.append).event("loaded", model="net", load_ms=1.23456)
    (line,) = lines(os.read(reading, 1000).decode())
    assert line["time"].endswith("+00:00")
    assert {key: line[key] for key in line if key != "time"} == {"event": "loaded", "model": "net", "load_ms": 1.235}
    assert counted == ["loaded"]
    writer.close(PATIENCE_S)
    os.close(reading)
    os.close(writing)


def test_requests_are_written_in_order_with_the_events(tmp_path: Path) -> None:
    def use(log: Log) -> None:
        log.request({"status": 200, "path": "/a"})
        log.request({"status": 404, "path": 'a"\n\u2028\x1b[31m'})
        log.event("worker died", worker=1)
        log.request({"status": 200, "path": "/b"})
        log.flush()

    text = written(tmp_path, use)
    assert text.count("\n") == 4
    assert text.isascii()
    assert [line["event"] for line in lines(text)] == ["request", "request", "worker died", "request"]
    assert lines(text)[1]["path"] == 'a"\n\u2028\x1b[31m'


def test_requests_can_be_left_out(tmp_path: Path) -> None:
    def use(log: Log) -> None:
        log.request({"status": 200})
        log.event("unloaded", model="net")
        log.flush()

    assert [line["event"] for line in lines(written(tmp_path, use, requests=False))] == ["unloaded"]


def test_what_libraries_warn_of_is_logged_with_its_traceback(tmp_path: Path) -> None:
    def use(log: Log) -> None:
        library = logging.getLogger("some.library")
        library.addHandler(LibraryLog(log))
        library.debug("of no interest")
        try:
            raise ValueError("torn")
        except ValueError:
            library.exception("a connection of %s", "someone")

    (line,) = lines(written(tmp_path, use))
    assert (line["event"], line["library"]) == ("library warning", "some.library")
    assert line["text"].startswith("a connection of someone\nTraceback")
    assert line["text"].endswith("ValueError: torn")
