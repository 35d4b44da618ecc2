"""What the server does between requests."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud import server
from ondevice.cloud.http.address import ListenAddress
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.server import Server


def test_a_fault_between_requests_is_told_and_keeps_nothing_else_from_being_done(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server, "_TICK_S", 0.0)
    done: list[str] = []
    told: list[Any] = []

    def fail() -> None:
        raise RuntimeError("a fault of ours")

    async def play() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        connections: Any = SimpleNamespace(sweep=lambda: done.append("sweep"), shrunk=lambda: False)
        service: Any = SimpleNamespace(flush=lambda: done.append("flush"))
        backends: Any = [SimpleNamespace(tick=fail), SimpleNamespace(tick=lambda: done.append("tick"))]
        made = Server(ListenAddress("127.0.0.1", 0), service, service, backends, HttpLimits(), 0.0, service)
        ticking = asyncio.ensure_future(made._tick(connections))
        while len(done) < 6 and not ticking.done():
            await asyncio.sleep(0)
        ticking.cancel()

    asyncio.run(play())
    assert done[:6] == ["sweep", "flush", "tick"] * 2
    assert set(told) == {"a fault of ours"}
