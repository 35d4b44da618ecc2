"""When a server wants to be asked again: how it is written, and read from whoever writes it."""

from __future__ import annotations

import json
import time
from email.message import Message

import pytest

from ondevice.errors import FailureKind
from ondevice.protocol import replies, retry_after

WHEN = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:49:40 GMT"


@pytest.mark.parametrize(
    ("after_ms", "seconds", "milliseconds"),
    [(0.0, "1", "0"), (0.2, "1", "1"), (41.5, "1", "42"), (1000.0, "1", "1000"), (1000.1, "2", "1001")],
)
def test_it_is_never_written_sooner_than_it_is(after_ms: float, seconds: str, milliseconds: str) -> None:
    told = dict(retry_after.written(after_ms))
    assert told == {"retry-after": seconds, "retry-after-ms": milliseconds}
    assert retry_after.read_ms(told) == float(milliseconds)


@pytest.mark.parametrize(
    ("told", "read_ms"),
    [
        ({}, None),
        ({"retry-after-ms": "42"}, 42),
        ({"retry-after-ms": " 1.5 ", "retry-after": "1"}, 1.5),
        ({"retry-after-ms": "0", "retry-after": "1"}, 0),
        ({"retry-after": "120"}, 120_000),
        ({"retry-after": "0"}, 0),
        ({"retry-after": "31536000"}, 365 * 86_400_000),
        # What cannot be read is as if it were not there.
        ({"retry-after-ms": "soon", "retry-after": "2"}, 2000),
        ({"retry-after-ms": "-5", "retry-after": "2"}, 2000),
        ({"retry-after-ms": "nan"}, None),
        ({"retry-after-ms": "inf"}, None),
        ({"retry-after-ms": "1e3"}, None),
        ({"retry-after-ms": "1_000"}, None),
        ({"retry-after-ms": "٣"}, None),
        ({"retry-after-ms": "9" * 5000}, None),
        ({"retry-after": "-1"}, None),
        ({"retry-after": ""}, None),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "9" * 5000}, None),
    ],
)
def test_milliseconds_count_before_seconds(told: dict[str, str], read_ms: float | None) -> None:
    assert retry_after.read_ms(told) == read_ms


@pytest.mark.parametrize("text", [LATER, "Sunday, 06-Nov-94 08:49:40 GMT", "Sun Nov  6 08:49:40 1994"])
def test_a_date_of_any_form_counts_by_the_servers_own_clock(text: str) -> None:
    assert retry_after.read_ms({"date": WHEN, "retry-after": text}) == 3000


def test_a_date_that_is_past_is_now() -> None:
    assert retry_after.read_ms({"date": LATER, "retry-after": WHEN}) == 0


@pytest.mark.parametrize("told", [{}, {"date": "yesterday"}])
def test_where_the_server_does_not_say_what_time_it_is_the_own_clock_counts(
    told: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 784_111_777.5)  # half a second after WHEN
    assert retry_after.read_ms({**told, "retry-after": LATER}) == 2500


@pytest.mark.parametrize("text", ["Sun, 99 Nov 1994 08:49:37 GMT", "Sun, 06 Nov 999999 08:49:37 GMT", "Sun" * 5000])
def test_what_is_not_a_date_says_nothing(text: str) -> None:
    assert retry_after.read_ms({"retry-after": text}) is None


# In a refusal


@pytest.mark.parametrize("status", [429, 503, 500])
def test_a_refusal_has_it_whatever_its_status(status: int) -> None:
    error = replies.refusal("it", status, b'{"error": "not now"}', {"retry-after-ms": "250"})
    assert (error.retry_after_ms, error.for_time) == (250, False)
    silent = replies.refusal("it", status, b'{"error": "not now"}')
    assert (silent.retry_after_ms, silent.for_time) == (None, False)


def test_headers_as_the_standard_library_reads_them() -> None:
    told = Message()
    told["Retry-After"] = "3"
    assert replies.refusal("it", 503, b"", told).retry_after_ms == 3000


@pytest.mark.parametrize(
    ("said", "for_time"),
    [
        ({"error": "no time", "reason": "time"}, True),
        ({"error": "no time"}, False),
        ({"error": "no time", "reason": "memory"}, False),
        ({"error": "no time", "reason": ["time"]}, False),
        ({"reason": "time"}, True),
        (["time"], False),
        ("time", False),
    ],
)
def test_a_refusal_for_want_of_time_says_so(said: object, for_time: bool) -> None:
    error = replies.refusal("it", 503, json.dumps(said).encode(), {"retry-after-ms": "40"})
    assert (error.failure, error.retry_after_ms, error.for_time) == (FailureKind.BUSY, 40, for_time)
