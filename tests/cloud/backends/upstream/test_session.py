"""The session with another server, against servers that answer byte by byte what the test says."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable
from types import SimpleNamespace
from typing import NoReturn

import aiohttp
import pytest
from foreign import bare, kinds, name
from ports import closed_port
from scripted_server import ScriptedServer, Writer, ask, failure, reply

from ondevice.cloud.backends.upstream import session as module
from ondevice.cloud.backends.upstream.session import UpstreamReply, UpstreamRequest, UpstreamSession
from ondevice.errors import FailureKind, UpstreamError

GET, POST = UpstreamRequest("GET", "/", 5), UpstreamRequest("POST", "/", 5, b"abc")


def get(session: UpstreamSession) -> Awaitable[UpstreamReply]:
    return session.ask(GET)


def post(session: UpstreamSession) -> Awaitable[UpstreamReply]:
    return session.ask(POST)


def test_there_and_back() -> None:
    server = ScriptedServer(reply(b"xyz", some_thing="else"))
    headers, body = ask(server, post, token="secret")
    assert (headers["Some-Thing"], body) == ("else", b"xyz")
    line, sent, asked = server.asked[0]
    assert (line, asked) == ("POST / HTTP/1.1", b"abc")
    assert sent["authorization"] == "Bearer secret"


async def cut(writer: Writer) -> None:
    writer.transport.abort()


def test_without_a_token_none_is_sent() -> None:
    server = ScriptedServer(reply(b""))
    ask(server, get)
    assert "authorization" not in server.asked[0][1]


def test_connections_are_kept() -> None:
    server = ScriptedServer(reply(b""))

    async def often(session: UpstreamSession) -> None:
        for _ in range(5):
            await session.ask(GET)

    ask(server, often)
    assert server.connections == 1


def test_a_kept_connection_that_the_server_has_closed_costs_no_answer() -> None:
    server = ScriptedServer(reply(b"1"), cut, reply(b"2"))

    async def twice(session: UpstreamSession) -> tuple[bytes, bytes]:
        return (await session.ask(GET)).body, (await session.ask(POST)).body

    assert ask(server, twice) == (b"1", b"2")
    assert [line.split()[0] for line, _, _ in server.asked] == ["GET", "POST", "POST"]


def test_posts_too_are_sent_again_but_once() -> None:
    server = ScriptedServer(cut)
    assert failure(server, post).failure == "cut"
    assert len(server.asked) == 2


def test_nobody_listens() -> None:
    async def main(port: int) -> None:
        session = UpstreamSession(f"http://127.0.0.1:{port}", None)
        await session.open()
        try:
            await session.ask(GET)
        finally:
            session.close()

    with closed_port() as port, pytest.raises(UpstreamError, match=r"^no connection: connection refused$") as caught:
        asyncio.run(main(port))
    assert caught.value.failure == "refused"


async def hang(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12")
    await writer.drain()
    await asyncio.sleep(30)


def test_a_late_answer() -> None:
    error = failure(ScriptedServer(hang), lambda session: session.ask(GET._replace(timeout_s=0.2)))
    assert (error.failure, str(error)) == ("late", "no answer within 0.2 s")


async def half(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
    await writer.drain()


def test_half_an_answer() -> None:
    assert failure(ScriptedServer(half), get).failure == "cut"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("400 Bad Request", "rejected"),
        ("401 Unauthorized", "denied"),
        ("403 Forbidden", "denied"),
        ("404 Not Found", "missing"),
        ("415 Unsupported Media Type", "rejected"),
        ("204 No Content", "wrong"),
        ("500 Internal Server Error", "wrong"),
        ("429 Too Many Requests", "busy"),
        ("503 Service Unavailable", "busy"),
    ],
)
def test_statuses(status: str, expected: str) -> None:
    assert failure(ScriptedServer(reply(b"", status)), get).failure == expected


def test_what_it_says_is_repeated_in_one_short_line() -> None:
    body = ('{"error": "no\\nsuch \\u001b[31mmodel ' + "x" * 1000 + '"}').encode()
    said = str(failure(ScriptedServer(reply(body, "500 No")), post))
    assert said.startswith("it answers 500: no such  [31mmodel xxx")
    assert len(said) < 250


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"[]", b'{"error": null}', b"\xff\xfe", b'"error"'])
def test_refusals_of_any_form_are_read(body: bytes) -> None:
    assert str(failure(ScriptedServer(reply(body, "502 Bad Gateway")), post)) == "it answers 502"


def test_when_it_wants_to_be_asked_again_is_read() -> None:
    error = failure(ScriptedServer(reply(b'{"reason": "time"}', "503 No", **{"Retry-After-Ms": "40"})), get)
    assert (error.retry_after_ms, error.for_time) == (40, True)


def test_redirects_are_not_followed() -> None:
    server = ScriptedServer(reply(b"", "302 Found", location="/elsewhere"))
    assert failure(server, post).failure == "wrong"
    assert len(server.asked) == 1


@pytest.mark.parametrize(
    "raw",
    [
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x00" * 100,
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 1000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_what_is_no_http(raw: bytes) -> None:
    async def answer(writer: Writer) -> None:
        writer.write(raw)
        await writer.drain()

    assert failure(ScriptedServer(answer), get).failure in ("wrong", "cut")


def test_an_answer_over_the_limit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_REPLY_BYTES", 1 << 20)
    sent, all_pieces = 0, 1000  # 62 MiB, more than a system's buffers take of what nobody reads

    async def flood(writer: Writer) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while sent < all_pieces:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()
            sent += 1

    error = failure(ScriptedServer(flood), get)
    assert (error.failure, str(error)) == ("wrong", "its answer is over 1 MiB")
    assert sent < all_pieces, "the connection is closed in the middle"


def test_compressed_answers_are_refused() -> None:
    server = ScriptedServer(reply(b"\x1f\x8b", content_encoding="gzip"))
    assert failure(server, get).failure == "wrong"
    assert server.asked[0][1]["accept-encoding"] == "identity"


def connecting(kind: type[Exception]) -> Exception:
    """One of these; of those of connecting, as aiohttp makes them."""
    if not issubclass(kind, (aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError)):
        return bare(kind)
    where, why = SimpleNamespace(host="there", port=1, ssl=True), OSError(errno.ECONNREFUSED, "no")
    paths = ("/socket",) if issubclass(kind, aiohttp.client_exceptions.UnixClientConnectorError) else ()
    return kind(*paths, where, why)


@pytest.mark.parametrize("kind", kinds(aiohttp.ClientError, OSError, ValueError), ids=name)
def test_nothing_of_aiohttp_leaks_out(kind: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(*_: object) -> NoReturn:
        raise connecting(kind)

    monkeypatch.setattr(UpstreamSession, "_send", broken)
    with pytest.raises(UpstreamError) as caught:
        asyncio.run(UpstreamSession("http://127.0.0.1:9", None).ask(GET))
    assert caught.value.failure in list(FailureKind)
    assert len(str(caught.value).splitlines()) == 1
