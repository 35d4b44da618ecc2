"""A server that answers byte by byte what a test says, and a session with it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest
from accepting import accepting

from ondevice.cloud.backends.upstream.session import UpstreamSession
from ondevice.errors import UpstreamError

T = TypeVar("T")
Writer = asyncio.StreamWriter


class ScriptedServer:
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
    """A reply as it stands on the wire; `_` in headers' names stands for `-`."""
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", f"content-length: {len(body)}", *lines, "", ""]).encode() + body


def ask(server: ScriptedServer, question: Callable[[UpstreamSession], Awaitable[T]], token: str | None = None) -> T:
    """What comes of a question in a session with `server`."""

    async def main() -> T:
        def protocol() -> asyncio.BaseProtocol:
            return asyncio.StreamReaderProtocol(asyncio.StreamReader(), server)

        async with accepting(protocol) as listening:
            session = UpstreamSession(f"http://127.0.0.1:{listening.port}", token)
            await session.open()
            try:
                return await question(session)
            finally:
                session.close()

    return asyncio.run(main())


def failure(server: ScriptedServer, question: Callable[[UpstreamSession], Awaitable[Any]]) -> UpstreamError:
    """The error that a question in a session with `server` ends in."""
    with pytest.raises(UpstreamError) as caught:
        ask(server, question)
    assert "\n" not in str(caught.value)
    return caught.value
