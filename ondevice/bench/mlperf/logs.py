"""LoadGen's logs in their folder: made before a run, read after it, taken away where it failed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from ondevice import words
from ondevice.errors import OnDeviceError

DETAIL_LOG, _TRACE = "mlperf_log_detail.txt", "mlperf_log_trace.json"
_LOGS = ("mlperf_log_summary.txt", DETAIL_LOG, "mlperf_log_accuracy.json", _TRACE)


def prepare(folder: Path) -> None:
    """Make the logs, empty: LoadGen, where it cannot, only says so and leaves the next run to crash.

    Raises OnDeviceError.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in _LOGS:
            (folder / name).write_bytes(b"")
    except OSError as error:
        raise OnDeviceError(
            f"{folder}: LoadGen's logs cannot be written there ({words.reason(error)}); choose another folder"
        ) from error


def finish(folder: Path) -> None:
    """Take away the trace, which LoadGen opens though none is wanted."""
    (folder / _TRACE).unlink()


def discard(folder: Path) -> None:
    """Take away the logs of a run that was broken off: LoadGen's verdict on it would not be a measurement."""
    for name in _LOGS:
        (folder / name).unlink(missing_ok=True)


def entries(folder: Path) -> Iterator[dict[str, Any]]:
    """What the detail log holds, in its order: each with its key, value and metadata."""
    for line in (folder / DETAIL_LOG).read_text(encoding="utf-8", errors="replace").splitlines():
        # A rate over no time is written as nan, which is not JSON.
        with suppress(json.JSONDecodeError):
            yield json.loads(line.removeprefix(":::MLLOG "))
