"""Servers that answer every request with `{}`, ours and others', for `alternatives.py` and `http_layer.py`.

    python benchmarks/bare_servers.py plain|ours|uvicorn-httptools|uvicorn-h11|aiohttp

The port goes to standard output. What only one of them needs is imported by it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"

# What makes the protocol of one more connection.
Protocols = Callable[[], asyncio.Protocol]


def runner() -> asyncio.Runner:
    """Of the loop that the endpoint has."""
    try:
        from uvloop import new_event_loop
    except ImportError:
        from asyncio import new_event_loop
    return asyncio.Runner(loop_factory=new_event_loop)


def serve(kind: str) -> None:
    """Serve until it is killed."""
    with runner() as loop:
        loop.run(_serve(kind))


async def _serve(kind: str) -> None:
    sock = socket.create_server(("127.0.0.1", 0), backlog=64)
    print(sock.getsockname()[1], flush=True)
    protocols = await SERVERS[kind]()
    await (await asyncio.get_running_loop().create_server(protocols, sock=sock)).serve_forever()


async def _plain() -> Protocols:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            writer.write(_REPLY)

    return lambda: asyncio.StreamReaderProtocol(asyncio.StreamReader(), answer)


async def _ours() -> Protocols:
    from ondevice.cloud.app.incoming import Incoming
    from ondevice.cloud.app.messages import Head, Request, Response
    from ondevice.cloud.http.connection import Connection
    from ondevice.cloud.http.connections import Connections
    from ondevice.cloud.http.limits import HttpLimits

    def refuse(head: Head, status: int, message: str) -> Response:
        return Response(status, (), message.encode())

    async def answer(request: Request) -> Response:
        return Response(200, (("content-type", "application/json"),), b"{}")

    class App:
        def begin(self, head: Head) -> Incoming:
            return Incoming(head, answer, refuse)

        def refusal(self, status: int, message: str) -> Response:
            return Response(status, (), message.encode())

    connections = Connections(App(), HttpLimits())
    return lambda: Connection(connections)


async def _aiohttp() -> Protocols:
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"{}", content_type="application/json")

    app = web.Application()
    app.router.add_post("/v2/models/{model}/infer", answer)
    application = web.AppRunner(app, access_log=None)
    await application.setup()
    assert application.server
    return application.server


async def _uvicorn(http: str) -> Protocols:
    import uvicorn
    from uvicorn.server import ServerState

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"{}"})

    config: Any = uvicorn.Config(app, http=http, log_level="error", access_log=False, lifespan="off")  # type: ignore[arg-type]
    config.load()
    return lambda: config.http_protocol_class(config=config, server_state=ServerState(), app_state={})


SERVERS: dict[str, Callable[[], Awaitable[Protocols]]] = {
    "plain": _plain,
    "ours": _ours,
    "uvicorn-httptools": lambda: _uvicorn("httptools"),
    "uvicorn-h11": lambda: _uvicorn("h11"),
    "aiohttp": _aiohttp,
}

if __name__ == "__main__":
    serve(sys.argv[1])
