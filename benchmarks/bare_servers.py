"""Servers that answer every request with `{}`, ours and others', for `alternatives.py`.

    python benchmarks/bare_servers.py plain|ours|aiohttp|uvicorn

The port goes to standard output. What only one of them needs is imported by it.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from typing import Any

_REPLY = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


def serve(kind: str) -> None:
    """Serve until it is killed."""
    sock = socket.create_server(("127.0.0.1", 0))
    print(sock.getsockname()[1], flush=True)
    try:
        from uvloop import new_event_loop
    except ImportError:
        from asyncio import new_event_loop
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        runner.run(SERVERS[kind](sock))


async def _serve_plain(sock: Any) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while head := await reader.readuntil(b"\r\n\r\n"):
            await reader.readexactly(int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0]))
            writer.write(_REPLY)

    await (await asyncio.start_server(answer, sock=sock)).serve_forever()


async def _serve_ours(sock: Any) -> None:
    from ondevice.cloud.app.incoming import Incoming
    from ondevice.cloud.app.messages import Head, Request, Response
    from ondevice.cloud.http.connections import Connections
    from ondevice.cloud.http.handshake import accepted
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
    await (await asyncio.get_running_loop().create_server(lambda: accepted(connections), sock=sock)).serve_forever()


async def _serve_aiohttp(sock: Any) -> None:
    from aiohttp import web

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=b"{}", content_type="application/json")

    app = web.Application()
    app.router.add_post("/v2/models/{model}/infer", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    await asyncio.Event().wait()


async def _serve_uvicorn(sock: Any) -> None:
    import uvicorn

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        body, more = b"", True
        while more:
            message = await receive()
            body, more = body + message["body"], message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"{}"})

    config = uvicorn.Config(app, http="httptools", log_level="error", access_log=False, lifespan="off")
    await uvicorn.Server(config).serve(sockets=[sock])


SERVERS: dict[str, Callable[[Any], Any]] = {
    "plain": _serve_plain, "ours": _serve_ours, "aiohttp": _serve_aiohttp, "uvicorn": _serve_uvicorn,
}  # fmt: skip

if __name__ == "__main__":
    serve(sys.argv[1])
