"""The client of another server, against servers that answer byte by byte what the test says."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, NoReturn, TypeVar

import aiohttp
import numpy as np
import pytest
from foreign import bare, kinds, name

from ondevice.cloud.backends.upstream import oip_client
from ondevice.cloud.backends.upstream.oip_client import OipClient
from ondevice.errors import FailureKind, UpstreamError
from ondevice.protocol.request import decode_request, encode_request
from ondevice.protocol.response import InferResponse, encode_response
from ondevice.protocol.tensor import Tensor

T = TypeVar("T")
Writer = asyncio.StreamWriter


class Server:
    """Answers the nth request with the nth of `answers`, the last for ever; keeps what was asked."""

    def __init__(self, *answers: bytes | Callable[[Writer], Awaitable[None]]) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, dict[str, str], bytes]] = []
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: Writer) -> None:
        self.connections += 1
        try:
            while await self._one(reader, writer):
                pass
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: Writer) -> bool:
        lines = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines[1:-2])}
        body = await reader.readexactly(int(headers.get("content-length", 0)))
        self.asked.append((lines[0], headers, body))
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if callable(answer):
            await answer(writer)
            return False
        writer.write(answer)
        await writer.drain()
        return True


def reply(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *lines, "", ""]).encode() + body


def ask(server: Server, question: Callable[[OipClient], Awaitable[T]], token: str | None = None) -> T:
    """What comes of asking `server`."""

    async def main() -> T:
        listening = await asyncio.start_server(server, "127.0.0.1", 0)
        client = OipClient(f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}", token)
        await client.open()
        try:
            return await question(client)
        finally:
            client.close()
            listening.close()

    return asyncio.run(main())


def failure(server: Server, question: Callable[[OipClient], Awaitable[Any]]) -> UpstreamError:
    with pytest.raises(UpstreamError) as caught:
        ask(server, question)
    assert "\n" not in str(caught.value)
    return caught.value


def ready(client: OipClient) -> Awaitable[None]:
    return client.ready(5)


def infer(client: OipClient) -> Awaitable[InferResponse]:
    return client.infer("m", *encode_request([Tensor.of("x", [b"abc"])], binary=True), 5)


async def cut(writer: Writer) -> None:
    writer.transport.abort()


def test_an_inference_there_and_back() -> None:
    body, length = encode_response("m", "1", [Tensor.of("y", np.arange(3, dtype=np.float32))], binary=["y"])
    server = Server(reply(body, inference_header_content_length=str(length)))
    response = ask(server, infer, token="secret")
    (output,) = response.outputs
    assert isinstance(output.data, np.ndarray)
    assert output.data.tolist() == [0, 1, 2]
    line, headers, sent = server.asked[0]
    assert line == "POST /v2/models/m/infer HTTP/1.1"
    assert headers["authorization"] == "Bearer secret"
    (tensor,) = decode_request(sent, int(headers["inference-header-content-length"])).inputs
    assert tensor.data == [b"abc"]


def test_an_inference_answered_in_json() -> None:
    body, _ = encode_response("m", None, [Tensor.of("y", np.arange(3, dtype=np.int32))])
    (output,) = ask(Server(reply(body)), infer).outputs
    assert isinstance(output.data, np.ndarray)
    assert output.data.tolist() == [0, 1, 2]


def test_without_a_token_none_is_sent() -> None:
    server = Server(reply(b""))
    ask(server, ready)
    assert "authorization" not in server.asked[0][1]


def test_a_models_name_stays_one_part_of_the_path() -> None:
    server = Server(reply(b"{}"))
    assert ask(server, lambda client: client.metadata("a/../b c", 5)) == ({}, {}, {})
    assert server.asked[0][0] == "GET /v2/models/a%2F..%2Fb%20c HTTP/1.1"


def test_the_index() -> None:
    server = Server(reply(b'[{"name": "a", "state": "READY"}, {"name": "b", "version": "1"}]'))
    assert ask(server, lambda client: client.ready_models(5)) == ["a", "b"]
    assert server.asked[0][0] == "POST /v2/repository/index HTTP/1.1"


@pytest.mark.parametrize(
    "body", [b"{}", b"[1]", b'[{"name": 1}]', b'[{"name": ""}]', b"<html>", b"\xff", b"[" * 100_000]
)
def test_an_index_that_is_none(body: bytes) -> None:
    assert failure(Server(reply(body)), lambda client: client.ready_models(5)).failure == "wrong"


@pytest.mark.parametrize("body", [b"[]", b"null", b"", b"<html>"])
def test_metadata_that_are_none(body: bytes) -> None:
    assert failure(Server(reply(body)), lambda client: client.metadata("m", 5)).failure == "wrong"


def test_connections_are_kept() -> None:
    server = Server(reply(b""))

    async def often(client: OipClient) -> None:
        for _ in range(5):
            await client.ready(5)

    ask(server, often)
    assert server.connections == 1


def test_a_kept_connection_that_the_server_has_closed_costs_no_answer() -> None:
    server = Server(reply(b""), cut, reply(b""))

    async def twice(client: OipClient) -> None:
        await client.ready(5)
        await client.metadata("m", 5)

    error = failure(server, twice)  # the last answer is not JSON, but an answer
    assert error.failure == "wrong"
    assert [line.split()[1] for line, _, _ in server.asked] == ["/v2/health/ready", "/v2/models/m", "/v2/models/m"]


def test_posts_too_are_sent_again_but_once() -> None:
    server = Server(cut)
    assert failure(server, infer).failure == "cut"
    assert len(server.asked) == 2


def test_nobody_listens() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]

    async def main() -> None:
        client = OipClient(f"http://127.0.0.1:{port}", None)
        await client.open()
        try:
            await client.ready(5)
        finally:
            client.close()

    with pytest.raises(UpstreamError, match=r"^no connection: connection refused$") as caught:
        asyncio.run(main())
    assert caught.value.failure == "refused"


async def hang(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12")
    await writer.drain()
    await asyncio.sleep(30)


def test_a_late_answer() -> None:
    error = failure(Server(hang), lambda client: client.ready(0.2))
    assert (error.failure, str(error)) == ("late", "no answer within 0.2 s")


async def half(writer: Writer) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12345")
    await writer.drain()


def test_half_an_answer() -> None:
    assert failure(Server(half), ready).failure == "cut"


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
    assert failure(Server(reply(b"", status)), ready).failure == expected


def test_what_it_says_is_repeated_in_one_short_line() -> None:
    body = ('{"error": "no\\nsuch \\u001b[31mmodel ' + "x" * 1000 + '"}').encode()
    said = str(failure(Server(reply(body, "500 No")), infer))
    assert said.startswith("it answers 500: no such  [31mmodel xxx")
    assert len(said) < 250


@pytest.mark.parametrize("body", [b"<html>busy</html>", b"[]", b'{"error": null}', b"\xff\xfe", b'"error"'])
def test_refusals_of_any_form_are_read(body: bytes) -> None:
    assert str(failure(Server(reply(body, "502 Bad Gateway")), infer)) == "it answers 502"


def test_redirects_are_not_followed() -> None:
    server = Server(reply(b"", "302 Found", location="/elsewhere"))
    assert failure(server, infer).failure == "wrong"
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

    assert failure(Server(answer), ready).failure in ("wrong", "cut")


def test_an_answer_over_the_limit_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(oip_client, "MAX_REPLY_BYTES", 1 << 20)
    sent = 0

    async def flood(writer: Writer) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while sent < 100:
            writer.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")
            await writer.drain()
            sent += 1

    error = failure(Server(flood), ready)
    assert (error.failure, str(error)) == ("wrong", "its answer is over 1 MiB")
    assert sent < 100, "the connection is closed in the middle"


def test_compressed_answers_are_refused() -> None:
    server = Server(reply(b"\x1f\x8b", content_encoding="gzip"))
    assert failure(server, ready).failure == "wrong"
    assert server.asked[0][1]["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"{}", None),
        (b'{"model_name": "m", "outputs": [{"name": "y"}]}', None),
        (b'{"model_name": "m", "outputs": []}', "9999"),
        (b'{"model_name": "m", "outputs": []}', "-1"),
        (b'{"model_name": "m", "outputs": []}', "1e3"),
        (b"", "0"),
    ],
)
def test_responses_that_are_no_oip(body: bytes, length: str | None) -> None:
    headers = {} if length is None else {"inference_header_content_length": length}
    error = failure(Server(reply(body, **headers)), infer)
    assert error.failure == "wrong"
    assert str(error).startswith("its response is not valid OIP: ")


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

    monkeypatch.setattr(OipClient, "_send", broken)
    with pytest.raises(UpstreamError) as caught:
        asyncio.run(OipClient("http://127.0.0.1:9", None).ready(1))
    assert caught.value.failure in list(FailureKind)
    assert len(str(caught.value).splitlines()) == 1
