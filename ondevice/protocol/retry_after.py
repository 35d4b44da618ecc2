"""When a server that refuses wants to be asked again, as its reply says it and as it is read.

`Retry-After` has whole seconds or a date (RFC 9110, section 10.2.3); `retry-after-ms`, which several servers and SDKs
have beside it, milliseconds. `{"error": …, "reason": "time"}` says that a request with more time might be answered.
"""

from __future__ import annotations

import math
import re
import time
from datetime import UTC
from email.utils import parsedate_to_datetime
from typing import Protocol

SECONDS, MILLISECONDS, DATE = "retry-after", "retry-after-ms", "date"
REASON, TIME = "reason", "time"

# Fifteen digits are past every year that means anything, and no float is inexact for want of them.
_NUMBER = re.compile(r"[0-9]{1,15}(\.[0-9]{1,15})?")
# "Sun, 06 Nov 1994 08:49:37 GMT" has 29; the two older forms are hardly longer.
_DATE_CHARACTERS = 64


class Headers(Protocol):
    """The headers of a reply: names that do not depend on case, or are lower-case."""

    def get(self, name: str, /) -> str | None:
        """The first of this name, or None."""


def written(after_ms: float) -> tuple[tuple[str, str], tuple[str, str]]:
    """The headers of a refusal: never sooner than that, and at least a second for those who read seconds alone."""
    return (SECONDS, str(max(1, math.ceil(after_ms / 1e3)))), (MILLISECONDS, str(math.ceil(after_ms)))


def read_ms(told: Headers) -> float | None:
    """How long a reply with these headers wants its server to be left alone, ms; None: it does not say.

    A date counts from the reply's own `Date`, if it has one, for the two clocks may differ; one that is past is 0.
    """
    exact = _number(told.get(MILLISECONDS))
    if exact is not None:
        return exact
    text = told.get(SECONDS)
    seconds = _number(text)
    if seconds is not None:
        return seconds * 1e3
    until = _date(text)
    if until is None:
        return None
    now = _date(told.get(DATE))
    return max(until - (time.time() if now is None else now), 0.0) * 1e3


def _number(text: str | None) -> float | None:
    return float(text) if text is not None and _NUMBER.fullmatch(text.strip()) else None


def _date(text: str | None) -> float | None:
    """As seconds since 1970."""
    try:
        found = parsedate_to_datetime((text or "")[:_DATE_CHARACTERS])
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
