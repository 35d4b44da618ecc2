"""What the protocol needs of HTTP on both sides: header names, content types, and a server's own times."""

from __future__ import annotations

import contextlib
import re
import reprlib
from collections.abc import Mapping

from ondevice.errors import ProtocolError, UsageError

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

# A name or address, and a port (RFC 9110, section 7.2).
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")
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


def checked_host(text: str) -> str:
    """What is to be the Host header, for a server that goes by it and not by its address. Raises UsageError."""
    if not _HOST.fullmatch(text):
        raise UsageError(f"{reprlib.repr(text)} is not a Host: give NAME or NAME:PORT, such as model.example.com")
    return text


def host_name(host: str) -> str:
    """The name in a Host header, by which a certificate is judged."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]") if found else host


def json_length(text: str | None) -> int | None:
    """The number in an Inference-Header-Content-Length header; None where there is no such. Raises ProtocolError."""
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS):
        raise ProtocolError(f"{LENGTH} is {reprlib.repr(text)}, not a number of bytes")
    return int(text)


def timing(parts_ms: Mapping[str, float]) -> str:
    """A Server-Timing header of these durations, ms."""
    return ", ".join([f"{name};dur={ms:.3f}" for name, ms in parts_ms.items()])


def durations_ms(text: str) -> dict[str, float]:
    """The durations in a Server-Timing header, ms; what is not understood is left out."""
    found = {}
    for name, number in _DURATION.findall(text[:_MOST_CHARACTERS]):
        with contextlib.suppress(ValueError):  # 1.2.3 is not a number
            found[name] = float(number)
    return found
