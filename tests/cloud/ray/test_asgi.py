"""The way in for ASGI servers, played without one."""

from __future__ import annotations

import asyncio
import gzip
from collections import deque
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from http_server import HASTY, SMALL, Asked

from ondevice.cloud.app.messages import Piece, Request, Response
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.ray.asgi import AsgiEntrance

WIDE = replace(SMALL, body_bytes=1 << 20)


@dataclass
class Played:
    """An ASGI server and its client. pieces: of the body; after them the client waits, or leaves once `left` is set."""

    pieces: deque[bytes]
    left: asyncio.Event = field(default_factory=asyncio.Event)
    sent: list[dict[str, Any]] = field(default_factory=list)
    silent: bool = False

    async def receive(self) -> dict[str, Any]:
        if self.pieces:
            return {
                "type": "http.request",
                "body": self.pieces.popleft(),
                "more_body": bool(self.pieces) or self.silent,
            }
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(message)

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def bodies(self) -> list[bytes]:
        return [message.get("body", b"") for message in self.sent[1:]]


class Service:
    """What is behind the entrance; `seen` are the requests that were handled."""

    def __init__(self, limits: HttpLimits = SMALL) -> None:
        self.seen: list[Request] = []
        self.ended: list[str] = []
        self.gone_on = asyncio.Event()
        self.entrance = AsgiEntrance(Asked(self._handle), limits)

    async def _handle(self, request: Request) -> Response:
        self.seen.append(request)
        try:
            if request.head.path == "/slow":
                await self.gone_on.wait()
        finally:
            self.ended.append(request.head.path)
        if request.head.path == "/pieces":
            return Response(200, (), self._pieces())
        return Response(200, (("X-Path", request.head.path),), request.body)

    async def _pieces(self) -> AsyncGenerator[Piece, None]:
        try:
            yield Piece(b"one\n", last=False)
            await self.gone_on.wait()
            yield Piece(b"two\n", last=True)
        finally:
            self.ended.append("pieces")

    def begin(self, client: Played, path: str = "/a", method: str = "POST", **headers: str) -> asyncio.Task[None]:
        """Ask as `client`. headers: with _ for -."""
        named = [(b"host", b"x")]
        named += [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
        plain, _, query = path.partition("?")
        scope = {
            "type": "http", "http_version": "1.1", "method": method, "path": plain, "raw_path": plain.encode(),
            "query_string": query.encode(), "headers": named, "client": ("10.0.0.1", 5),
        }  # fmt: skip
        return asyncio.ensure_future(self.entrance(scope, client.receive, client.send))

    async def ask(self, pieces: Sequence[bytes] = (b"",), path: str = "/a", **headers: str) -> Played:
        client = Played(deque(pieces))
        await self.begin(client, path, **headers)
        return client


def run(play: Any) -> None:
    asyncio.run(play())


def test_a_request_reaches_the_service_as_from_the_socket() -> None:
    async def play() -> None:
        service = Service()
        reply = await service.ask([b"ab", b"cd"], "/a%20b?top=2", content_length="4", x_own="1")
        (request,) = service.seen
        assert (request.head.method, request.head.path, request.head.query) == ("POST", "/a b", "top=2")
        assert request.head.headers == {"host": "x", "content-length": "4", "x-own": "1"}
        assert (request.head.length, request.head.peer, request.body) == (4, "10.0.0.1", b"abcd")
        assert request.upload_ms >= 0
        assert (reply.status, reply.headers, reply.bodies) == (
            200, {b"x-path": b"/a b", b"content-length": b"4"}, [b"abcd"]
        )  # fmt: skip

    run(play)


def test_a_head_is_answered_without_its_body() -> None:
    async def play() -> None:
        client = Played(deque([b"abcd"]))
        await Service().begin(client, method="HEAD", content_length="4")
        assert (client.headers[b"content-length"], client.bodies) == (b"4", [b""])

    run(play)


def test_lines_go_out_as_they_come() -> None:
    async def play() -> None:
        service, client = Service(), Played(deque([b""]))
        asked = service.begin(client, "/pieces")
        while len(client.sent) < 2:
            await asyncio.sleep(0)
        assert client.bodies == [b"one\n"]
        assert b"content-length" not in client.headers
        service.gone_on.set()
        await asked
        assert client.bodies == [b"one\n", b"two\n", b""]
        assert client.sent[1]["more_body"]
        assert "more_body" not in client.sent[-1]

    run(play)


@pytest.mark.parametrize("path", ["/slow", "/pieces"])
def test_what_a_client_asked_that_has_left_is_not_worked_on(path: str) -> None:
    async def play() -> None:
        service, client = Service(), Played(deque([b""]))
        asked = service.begin(client, path)
        while not service.seen:
            await asyncio.sleep(0)
        client.left.set()
        await asked
        assert len(service.ended) == len(service.seen) + (path == "/pieces")
        assert b"two\n" not in client.bodies

    run(play)


def test_who_leaves_before_the_body_is_whole_has_asked_nothing() -> None:
    async def play() -> None:
        service, client = Service(), Played(deque([b"ab"]), silent=True)
        asked = service.begin(client, content_length="4")
        await asyncio.sleep(0)
        client.left.set()
        await asked
        assert (service.seen, client.sent) == ([], [])

    run(play)


@pytest.mark.parametrize(
    ("pieces", "headers", "status"),
    [
        ([b"a" * 1001], {"content_length": "1001"}, 413),
        ([b"a" * 600, b"a" * 600], {"transfer_encoding": "chunked"}, 413),
        ([b"a STOP b"], {"content_length": "8"}, 422),
        ([gzip.compress(b"a" * 1001)], {"content_encoding": "gzip", "content_length": "30"}, 413),
        ([b"not so"], {"content_encoding": "gzip", "content_length": "6"}, 400),
        ([b""], {"Host": "y"}, 400),
        ([b""], {"x_long": "a" * 2000}, 431),
        ([b""], {"content_length": "0", "path": "/nowhere"}, 404),
    ],
)
def test_what_the_socket_refuses_is_refused(pieces: list[bytes], headers: dict[str, str], status: int) -> None:
    async def play() -> None:
        service = Service()
        reply = await service.ask(pieces, **headers)
        assert (reply.status, service.seen) == (status, [])

    run(play)


def test_a_body_without_a_length_and_a_compressed_one_arrive() -> None:
    async def play() -> None:
        service = Service(WIDE)
        await service.ask([b"a" * 300_000, b"b" * 300_000], transfer_encoding="chunked")
        packed = gzip.compress(b"abc")
        await service.ask([packed], content_encoding="gzip", content_length=str(len(packed)))
        assert [request.body for request in service.seen] == [b"a" * 300_000 + b"b" * 300_000, b"abc"]

    run(play)


def test_who_does_not_send_on_is_told_so() -> None:
    async def play() -> None:
        service, client = Service(HASTY), Played(deque([b"ab"]), silent=True)
        await service.begin(client, content_length="4")
        assert client.status == 408
        assert client.bodies == [b"the request took over 0.4 s to arrive"]

    run(play)


def test_a_body_waits_for_room_and_gives_it_back() -> None:
    async def play() -> None:
        service = Service(WIDE)
        bodies = service.entrance.bodies
        others = bodies.take(bodies.total - 1000, lambda: None)
        client = Played(deque([b"a" * 600]))
        asked = service.begin(client, content_length="600")
        for _ in range(5):
            await asyncio.sleep(0)
        assert len(client.pieces) == 1, "its body was read though there is no room"
        others.give_back()
        await asked
        assert (client.status, bodies.held) == (200, 0)
        assert service.seen[0].held_s > 0

    run(play)


def test_a_server_that_starts_and_ends_is_answered_and_other_protocols_are_closed() -> None:
    async def play() -> None:
        came, sent = deque(["lifespan.startup", "lifespan.shutdown"]), []

        async def receive() -> dict[str, Any]:
            return {"type": came.popleft()}

        async def send(message: Any) -> None:
            sent.append(message["type"])

        entrance = Service().entrance
        await entrance({"type": "lifespan"}, receive, send)
        await entrance({"type": "websocket"}, receive, send)
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete", "websocket.close"]

    run(play)
