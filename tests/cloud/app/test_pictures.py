"""The picture in a body, whatever its client says of it."""

from __future__ import annotations

import re

import pytest
from serving import PICTURE
from urllib3 import encode_multipart_formdata

from ondevice.cloud.app import pictures
from ondevice.errors import ProtocolError

JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF\x00"
KINDS = ("", "image/png", "image/jpg", "application/octet-stream", "application/x-www-form-urlencoded", "text/plain")


# As the HTTP library draws them; tests are named after it, the same in every process.
BOUNDARY = "0123456789abcdef0123456789abcdef"


def form(**files: bytes) -> tuple[str, bytes]:
    """As the HTTP library makes it: its Content-Type and its body."""
    body, kind = encode_multipart_formdata([(name, (name, data)) for name, data in files.items()], BOUNDARY)
    return kind, body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("picture", [JPEG, PICTURE])
def test_what_begins_as_a_picture_is_one_whatever_its_type(kind: str, picture: bytes) -> None:
    assert pictures.of_body(kind, picture) is picture


@pytest.mark.parametrize("kind", ["image/heic", "Image/HEIC"])
def test_what_is_called_a_picture_is_the_decoders_to_judge(kind: str) -> None:
    assert pictures.of_body(kind, b"\0\0\0\x18ftypheic") == b"\0\0\0\x18ftypheic"


@pytest.mark.parametrize("kind", KINDS[3:])
@pytest.mark.parametrize("body", [b"", b"{}", b" {", b"text", b"/9j/4AAQSkZJRg=="])
def test_all_else_is_none(kind: str, body: bytes) -> None:
    assert pictures.of_body(kind, body) is None


@pytest.mark.parametrize("picture", [PICTURE, JPEG, b"", b"\r\n", b"\r\n\r\n--", b"anything at all"])
def test_the_only_part_of_a_form_is_the_picture(picture: bytes) -> None:
    assert pictures.of_body(*form(image=picture)) == picture


def test_a_form_as_it_may_be_written() -> None:
    body = b"preamble\r\n--a b\r\nContent-Type: image/png\r\n\r\nPICTURE\r\n--a b--\r\nepilogue"
    assert pictures.of_body('Multipart/Form-Data; charset=x; Boundary="a b"', body) == b"PICTURE"
    assert pictures.of_body("multipart/form-data;boundary=a;x=y", b"--a\r\n\r\nPICTURE\r\n--a--") == b"PICTURE"


FORM, BODY = form(image=PICTURE)


@pytest.mark.parametrize(
    ("kind", "body", "said"),
    [
        ("image/png", b"", "the body is empty"),
        ("application/x-www-form-urlencoded", JPEG.replace(b"\0", b""), "--data-binary instead of -d"),
        ("Application/X-WWW-Form-URLEncoded", JPEG.replace(b"\0", b""), "--data-binary instead of -d"),
        ("multipart/form-data", BODY, "no boundary"),
        ("multipart/form-data; boundary=other", BODY, "not whole"),
        (FORM, BODY[:100], "not whole"),
        (FORM, BODY[:-50], "not whole"),
        (FORM, b"", "not whole"),
        (*form(image=PICTURE, top=b"3"), "one part, the picture: what else there is to say goes into the query"),
    ],
)
def test_what_a_client_is_told_whose_picture_cannot_be_found(kind: str, body: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=re.escape(said)):
        pictures.of_body(kind, body)


@pytest.mark.parametrize("body", [b"{}", b"[", b" \r\n\t{", b"{\xff"])
def test_what_may_be_json(body: bytes) -> None:
    assert pictures.may_be_json(body)


@pytest.mark.parametrize("body", [b"", b" ", b'"text"', b"\xff{", b"data:image/png;base64,AAAA"])
def test_what_may_not(body: bytes) -> None:
    assert not pictures.may_be_json(body)
