"""A request is put together as it comes; a picture of too many pixels is refused while it comes."""

from __future__ import annotations

import asyncio
import io
import struct
import tracemalloc

import pytest
from PIL import Image

from ondevice.cloud.app.incoming import Incoming
from ondevice.cloud.app.messages import Head, Request, Response


async def echo(request: Request) -> Response:
    return Response(200, (), request.body)


def refuse(head: Head, status: int, message: str) -> Response:
    return Response(status, (), f"{head.path}: {message}".encode())


def incoming(length: int | None, kind: str = "image/png", **headers: str) -> Incoming:
    told = {"content-type": kind, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Incoming(Head("POST", "/a", "", told, length, "", 0.0), echo, refuse)


def answered(request: Incoming) -> bytes | object:
    return asyncio.run(_reply(request)).body


def png(width: int, height: int) -> bytes:
    small = io.BytesIO()
    Image.new("L", (1, 1)).save(small, "PNG")
    return small.getvalue()[:16] + struct.pack(">II", width, height) + bytes(100_000)


@pytest.mark.parametrize("length", [7, None])
@pytest.mark.parametrize("pieces", [[b"abcdefg"], [b"abc", b"defg"], [bytes([c]) for c in b"abcdefg"]])
def test_what_comes_is_put_together(length: int | None, pieces: list[bytes]) -> None:
    request = incoming(length)
    assert [request.receive(piece) for piece in pieces] == [None] * len(pieces)
    assert answered(request) == b"abcdefg"


def test_what_comes_in_one_piece_is_not_copied() -> None:
    async def same(request: Request) -> Response:
        return Response(200 if request.content is whole else 500, (), request.body)

    whole = memoryview(b"head abcdefg")[5:]
    request = Incoming(Head("POST", "/a", "", {}, 7, "", 0.0), same, refuse)
    assert request.receive(whole) is None
    assert asyncio.run(_reply(request)) == Response(200, (), b"abcdefg")


async def _reply(request: Incoming) -> Response:
    return await request.answer(1.0, 0.0)


def test_a_body_in_tiny_chunks_takes_no_more_than_it_is_long() -> None:
    request, pieces = incoming(None, "application/json"), [bytes([n, n]) for n in range(256)]
    tracemalloc.start()
    for _ in range(1000):
        for piece in pieces:
            request.receive(bytes(bytearray(piece)))  # each its own, as from a parser
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert held < 2 * 512_000


@pytest.mark.parametrize("first", [1, 20, 40, 5000])
@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("kind", ["image/png", "application/octet-stream", "application/x-www-form-urlencoded"])
def test_a_picture_of_too_many_pixels_is_refused_as_soon_as_it_says_so(first: int, announced: bool, kind: str) -> None:
    whole = png(10_000, 10_000)
    request = incoming(len(whole) if announced else None, kind)
    at_first = request.receive(whole[:first])
    assert (at_first is None) is (first < 32)
    refused = at_first or request.receive(whole[first : first + 31])
    assert refused == (
        400,
        (),
        b"/a: 10000 x 10000 pixels; at most 50 megapixels are decoded here, make it smaller first",
    )


@pytest.mark.parametrize(
    ("picture", "headers"),
    [
        (png(7000, 7000), {}),
        (b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", 60_000, 60_000) + bytes(1000), {"kind": "image/jpeg"}),
        (bytes(1000), {}),
        (png(10_000, 10_000), {"inference_header_content_length": "0"}),
    ],
    ids=["as large as may be", "a JPEG, which is decoded smaller", "no picture", "a tensor that looks like one"],
)
def test_all_else_is_the_decoders_to_judge(picture: bytes, headers: dict[str, str]) -> None:
    request = incoming(len(picture), **headers)
    assert [request.receive(picture[:500]), request.receive(picture[500:])] == [None, None]
    assert answered(request) == picture
