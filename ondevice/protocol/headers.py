"""What the protocol needs of HTTP on both sides: header names, content types, and a server's own times."""

from __future__ import annotations

import contextlib
import re
import reprlib
from collections.abc import Mapping

from ondevice.errors import ProtocolError

# With binary data behind the JSON: the length of the JSON in bytes.
LENGTH = "Inference-Header-Content-Length"
# A server's own times (W3C Server-Timing).
TIMING = "Server-Timing"
# Its parts: from the request's first byte to its last; then waiting, decoding the picture, and the inference; and all
# from that last byte to the reply.
UPLOAD, QUEUE, DECODE, INFER, TOTAL = "upload", "queue", "decode", "infer", "total"

JSON = "application/json"
BINARY = "application/octet-stream"
# Several responses to one request, one a line.
LINES = "application/x-ndjson"

_DURATION = re.compile(r"([A-Za-z_-]+);dur=([0-9.]{1,20})")
# Five times what `ondevice serve` writes; who writes more does not mean us.
_MOST_CHARACTERS = 1000
# A length of more digits is past every integer of 64 bits.
_MOST_DIGITS = 18


def of_body(json_length: int | None) -> dict[str, str]:
    """The headers of a body that begins with so many bytes of JSON; None: all of it is JSON."""
    if json_length is None:
        return {"Content-Type": JSON}
    return {"Content-Type": BINARY, LENGTH: str(json_length)}


def json_length(text: str | None) -> int | None:
    """The number in an Inference-Header-Content-Length header; None where there is no such. Raises ProtocolError."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ProtocolError(f"{LENGTH} is {reprlib.repr(text)}, not a number of bytes")
    return int(text)


def timing(parts_ms: Mapping[str, float]) -> str:
    """A Server-Timing header of these durations, ms."""
    return ", ".join(f"{name};dur={ms:.3f}" for name, ms in parts_ms.items())


def durations_ms(text: str) -> dict[str, float]:
    """The durations in a Server-Timing header, ms; what is not understood is left out."""
    found = {}
    for name, number in _DURATION.findall(text[:_MOST_CHARACTERS]):
        with contextlib.suppress(ValueError):  # 1.2.3 is not a number
            found[name] = float(number)
    return found
