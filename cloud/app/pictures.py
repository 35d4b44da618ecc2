"""The picture that a body is, whatever its client says of it: many programs leave the Content-Type to their library."""

from __future__ import annotations

import re

from ondevice.errors import ProtocolError
from ondevice.protocol.picture import STARTS

# What a client is told whose body is nothing that is read here.
NEITHER = (
    "the body is neither JSON nor a picture (JPEG, PNG, WebP, GIF, BMP, TIFF): send the file as it is, "
    "such as by curl --data-binary @FILE, with Content-Type: image/jpeg"
)
# What curl sends files as; with -d it leaves line breaks and zeros out.
_URL_ENCODED = "application/x-www-form-urlencoded"
_FORM = "multipart/form-data"
# RFC 2046, section 5.1.1.
_BOUNDARY = re.compile(r';\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_JSON = re.compile(rb"[ \t\r\n]*[\[{]")


def of_body(kind: str, body: bytes) -> bytes | None:
    """The picture in a body of this Content-Type: all of it, or the only part of a form; None: it may be a message of
    the protocol. Raises ProtocolError.
    """
    plain = kind.lower()  # but a boundary's case counts
    if plain.startswith("image/") or body.startswith(STARTS):
        return _whole(plain, body)
    if plain.startswith(_FORM):
        return _part(kind, body)
    return None


def may_be_json(body: bytes) -> bool:
    """Whether an object or a list may begin so."""
    return _JSON.match(body) is not None


def _whole(kind: str, body: bytes) -> bytes:
    if not body:
        raise ProtocolError("the body is empty: send a picture")
    if kind.startswith(_URL_ENCODED) and b"\0" not in body:
        raise ProtocolError("the picture has lost bytes on its way: with curl, send it by --data-binary instead of -d")
    return body


def _part(kind: str, body: bytes) -> bytes:
    """The only part of a form (RFC 7578)."""
    found = _BOUNDARY.search(kind)
    if not found:
        raise ProtocolError("the form's Content-Type has no boundary: send the picture alone, as the body")
    line = b"--" + (found[1] or found[2]).encode("latin-1")
    head = body.find(line)
    start = body.find(b"\r\n\r\n", head) + 4
    end = body.find(b"\r\n" + line, start)
    if head < 0 or start < 4 or end < 0:
        raise ProtocolError("the form is not whole: send the picture alone, as the body")
    if not body.startswith(b"--", end + 2 + len(line)):
        raise ProtocolError("a form may have one part, the picture: what else there is to say goes into the query")
    return body[start:end]
