"""Other people's servers as they answered us once: their replies played back to the same questions.

`python tests/support/recorded.py URL FILE`, with the tests' folders on the path, stands between us and such a server,
and writes what passes when it gets SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

FOLDER = Path(__file__).parents[1] / "fixtures" / "servers"
LENGTH = "Inference-Header-Content-Length"
# What of a reply's headers means anything to us.
KEPT = ("content-type", LENGTH.lower(), "server")


def question(request: web.Request, body: bytes) -> dict[str, Any]:
    """What was asked, without the numbers."""
    length = request.headers.get(LENGTH)
    text = body if length is None else body[: int(length)]
    asked = json.loads(text) if text else None
    for tensor in (asked or {}).get("inputs", ()):
        tensor.pop("data", None)
    return {"method": request.method, "path": request.path_qs, "binary": length is not None, "json": asked}


class Recorded:
    """The server of a recording. unknown: questions that were not asked of the real one."""

    prefix = ""

    def __init__(self, name: str) -> None:
        self.exchanges = json.loads((FOLDER / f"{name}.json").read_text())
        self.asked: list[dict[str, Any]] = []
        self.unknown: list[dict[str, Any]] = []

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        asked = question(request, await request.read())
        self.asked.append(asked)
        for exchange in self.exchanges:
            if exchange["asked"] == asked:
                status, headers, body = (exchange["answered"][key] for key in ("status", "headers", "body"))
                return web.Response(status=status, headers=headers, body=body.encode("latin-1"))
        self.unknown.append(asked)
        return web.Response(status=501)


async def record(url: str, file: Path) -> None:
    kept: dict[str, dict[str, Any]] = {}

    async def forward(request: web.Request) -> web.Response:
        body = await request.read()
        headers = {name: text for name, text in request.headers.items() if name.lower() != "host"}
        async with aiohttp.request(request.method, url + request.path_qs, data=body, headers=headers) as reply:
            text = await reply.read()
            told = {name: reply.headers[name] for name in KEPT if name in reply.headers}
            asked = question(request, body)
            said = text.decode("latin-1")
            # MLServer shows who asks wrong its whole traceback, with the folders of that machine.
            said = said.partition("\n")[0] if told.get("content-type", "").startswith("text/") else said
            answered = {"status": reply.status, "headers": told, "body": said}
            kept[json.dumps(asked)] = {"asked": asked, "answered": answered}
            return web.Response(status=reply.status, headers=told, body=text)

    app = web.Application(client_max_size=1 << 24)
    app.router.add_route("*", "/{path:.*}", forward)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}", flush=True)
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    file.write_text(json.dumps(list(kept.values()), indent=1) + "\n")


if __name__ == "__main__":
    asyncio.run(record(sys.argv[1], Path(sys.argv[2])))
