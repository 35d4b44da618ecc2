"""The second way in to the service: as an ASGI server calls it, such as the one in each of Ray Serve's replicas.

What the socket holds requests to (`ondevice.cloud.http`) holds here too, but for what is that server's: connections,
how long a head may take, and for how long nothing may be said.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from time import perf_counter
from typing import Any

from ondevice.cloud.app.messages import Application, Response
from ondevice.cloud.http import framing
from ondevice.cloud.http.connections import Connections
from ondevice.cloud.http.early import EarlyReplyError
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.http.reception import Reception
from ondevice.cloud.http.transaction import Transaction

# ASGI's own types.
Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class AsgiEntrance:
    """Shows `app` the requests of an ASGI server, under these limits."""

    def __init__(self, app: Application, limits: HttpLimits) -> None:
        self._connections = Connections(app, limits)
        # What bodies hold together.
        self.bodies = self._connections.bodies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, the server's start and end, or something else, which is refused."""
        if scope["type"] == "http":
            await AsgiExchange(self._connections, scope, receive, send).run()
        elif scope["type"] == "lifespan":
            await _live(receive, send)
        else:
            await send({"type": "websocket.close"})


class AsgiExchange:
    """One request as its pieces come, and its reply as it goes."""

    def __init__(self, connections: Connections, scope: Scope, receive: Receive, send: Send) -> None:
        self._app, self._limits = connections.app, connections.limits
        self._scope, self._receive, self._send = scope, receive, send
        self._transaction = _transaction(scope)
        self._room = asyncio.Event()
        peer = (scope.get("client") or ("",))[0]
        # An ASGI server tells its client to go on once the body is asked for.
        self._reception = Reception(connections, str(peer), lambda: None, self._room.set)

    async def run(self) -> None:
        """Take it in and answer it, unless its client leaves."""
        try:
            if response := await self._arrived():
                await self._reply(response)
            else:
                await self._unless_gone(self._answered())
        except _GoneError:
            pass
        finally:
            self._transaction.give_back()

    async def _arrived(self) -> Response | None:
        """Take it in; the reply, where not all of it is wanted. Raises _GoneError."""
        send_s = self._limits.send_s
        try:
            self._begin()
            async with asyncio.timeout(send_s):
                await self._let_in()
            async with asyncio.timeout(send_s):
                await self._read()
        except EarlyReplyError as early:
            return early.response
        except TimeoutError:
            overdue = self._transaction.overdue(math.inf, False, send_s)
            assert overdue  # for by then anything is
            return self._app.refusal(*overdue)
        return None

    def _begin(self) -> None:
        transaction, fields = self._transaction, self._scope["headers"]
        if fault := framing.fault(fields, transaction.headers, transaction.http_1_1):
            raise EarlyReplyError(self._app.refusal(*fault))
        if framing.head_bytes(transaction.url, fields) > self._limits.header_bytes:
            raise EarlyReplyError(self._app.refusal(431, self._limits.too_long))
        self._reception.take_in(transaction)

    async def _let_in(self) -> None:
        """Wait for room for its body."""
        if self._reception.waits:
            await self._room.wait()

    async def _read(self) -> None:
        transaction, more = self._transaction, not self._transaction.declined
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _GoneError
            more = message.get("more_body", False)
            if body := message.get("body", b""):
                transaction.receive(body, self._app, self._limits)
        transaction.last_byte = perf_counter()

    async def _answered(self) -> None:
        transaction = self._transaction
        assert transaction.request
        await self._reply(await transaction.request.answer(transaction.last_byte, transaction.held_s))

    async def _unless_gone(self, answering: Awaitable[None]) -> None:
        """Answer, and stop that once the client has left: its work is not wanted any more."""
        work, gone = asyncio.ensure_future(answering), asyncio.ensure_future(self._gone())
        try:
            await asyncio.wait((work, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            left = work.cancel()
        if not left:
            work.result()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _reply(self, response: Response) -> None:
        body = response.body
        lengths = [(b"content-length", b"%d" % len(body))] if isinstance(body, bytes) else []
        named = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in response.headers]
        await self._send({"type": "http.response.start", "status": response.status, "headers": named + lengths})
        if isinstance(body, bytes):
            await self._send({"type": "http.response.body", "body": b"" if self._bodiless else body})
            return
        async with aclosing(body):
            async for data, _ in body:
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
        await self._send({"type": "http.response.body"})

    @property
    def _bodiless(self) -> bool:
        return self._transaction.method == b"HEAD"


class _GoneError(Exception):
    """The client has left."""


def _transaction(scope: Scope) -> Transaction:
    """What the head says, as of now: its first byte came just before."""
    made = Transaction(perf_counter())
    made.method = scope["method"].encode("latin-1")
    query = scope.get("query_string", b"")
    path = scope.get("raw_path") or scope["path"].encode()
    made.url = path + b"?" + query if query else path
    made.headers = framing.headers(scope["headers"])
    made.http_1_1 = made.keep = scope.get("http_version", "1.1") != "1.0"
    return made


async def _live(receive: Receive, send: Send) -> None:
    """The server begins and ends: what the service needs is started and ended by whoever made it."""
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
