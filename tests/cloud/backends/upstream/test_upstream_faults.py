"""The backend that forwards, in front of servers in this process that are rude, late or wrong."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from time import monotonic
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from events import Events
from fronting import FP32, INT8, PICTURES, answered, behind, html, matches, ticking, work
from oip_server import Server

from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream import model
from ondevice.cloud.backends.upstream.upstream import Upstream
from ondevice.errors import ImageError, UpstreamError
from ondevice.protocol.response import encode_response
from ondevice.protocol.tensor import Tensor
from ondevice.runner import Runner
from ondevice.timing.recent import Recent


async def garbage(response: web.Response) -> web.Response:
    return web.Response(body=os.urandom(100), headers={"Inference-Header-Content-Length": "50"})


async def crash(response: web.Response) -> web.Response:
    raise RuntimeError("out of memory")


async def busy(response: web.Response) -> web.Response:
    return web.json_response({"error": "too many requests"}, status=503)


async def elsewhere(response: web.Response) -> web.Response:
    raise web.HTTPFound("/")


async def other_model(response: web.Response) -> web.Response:
    body, _ = encode_response("m", "1", [Tensor.of("probabilities", np.zeros((1, 1000), np.float32))])
    return web.Response(body=body)


@pytest.mark.parametrize("spoil", [html, garbage, crash, busy, elsewhere, other_model])
def test_a_rude_model_is_kept_out_until_it_is_mended(spoil: Callable[..., Any]) -> None:
    server = Server(INT8, FP32)

    async def use(backend: Upstream, events: Events) -> None:
        server.spoil[INT8] = spoil
        for available in (True, True, False):
            error = await answered(backend, INT8)
            assert isinstance(error, UpstreamError)
            assert "\n" not in str(error)
            assert backend.available(INT8) is available
        assert events.names == ["upstream model down"]
        assert events[0][1]["model"] == INT8
        assert backend.available(FP32)
        assert backend.ready()
        matches(await backend.run(Ticket(FP32, work())), Runner(FP32), PICTURES[0])
        del server.spoil[INT8]
        await ticking(backend, lambda: backend.available(INT8))
        assert events.names == ["upstream model down", "upstream model up"]

    behind(server, use)


def test_a_model_is_not_asked_before_its_server_wants_it_to_be() -> None:
    async def later(response: web.Response) -> web.Response:
        return web.json_response({"error": "too many requests"}, status=429, headers={"Retry-After": "30"})

    server = Server(INT8, FP32)

    async def use(backend: Upstream, events: Events) -> None:
        server.spoil[INT8] = later
        assert isinstance(await answered(backend, INT8), UpstreamError)
        assert not backend.available(INT8)
        assert backend.state(INT8) is ModelState.AVAILABLE
        assert backend.available(FP32)
        assert backend.ready()
        assert not events

    behind(server, use)


def test_a_probe_whose_connection_is_lost_is_not_the_last() -> None:
    server, cuts = Server(INT8, FP32), 0

    async def cut(response: web.Response) -> web.Response:
        nonlocal cuts
        cuts += 1
        raise asyncio.CancelledError  # aiohttp closes the connection

    async def use(backend: Upstream, events: Events) -> None:
        server.spoil[INT8] = html
        while backend.available(INT8):
            await answered(backend, INT8)
        server.spoil[INT8] = cut
        await ticking(backend, lambda: cuts >= 2)
        assert events.names == ["upstream model down"]
        del server.spoil[INT8]
        await ticking(backend, lambda: backend.available(INT8))
        assert events.names == ["upstream model down", "upstream model up"]

    behind(server, use)


def test_bad_pictures_are_not_held_against_it() -> None:
    async def use(backend: Upstream, events: Events) -> None:
        for _ in range(5):
            with pytest.raises(ImageError):
                await backend.run(Ticket(INT8, work(b"no picture")))
        assert backend.available(INT8)
        assert not events

    behind(Server(INT8), use)


def test_a_good_picture_is_not_blamed_for_a_server_that_refuses_all() -> None:
    server = Server(INT8)

    async def refuse(response: web.Response) -> web.Response:
        return web.json_response({"error": "unknown model"}, status=400)

    async def use(backend: Upstream, events: Events) -> None:
        server.spoil[INT8] = refuse
        for _ in range(3):
            assert isinstance(await answered(backend, INT8), UpstreamError)
        assert not backend.available(INT8)

    behind(server, use)


def test_late_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    patient_s, server = model._LATE_S, Server(INT8, FP32)

    async def never(response: web.Response) -> web.Response:
        await asyncio.sleep(60)
        return response

    async def use(backend: Upstream, events: Events) -> None:
        server.spoil[INT8] = never
        for _ in range(3):
            monkeypatch.setattr(model, "_LATE_S", 0.2)
            error = await answered(backend, INT8)
            assert isinstance(error, UpstreamError)
            assert error.failure == "late"
            monkeypatch.setattr(model, "_LATE_S", 30 * patient_s)
            matches(await backend.run(Ticket(FP32, work())), Runner(FP32), PICTURES[0])
        assert not backend.available(INT8)
        assert backend.available(FP32), "its server still answers"

    behind(server, use)


def test_a_server_that_says_it_is_not_ready_is_left_alone() -> None:
    server = Server(INT8)

    async def use(backend: Upstream, events: Events) -> None:
        server.ready = False
        await ticking(backend, lambda: not backend.available(INT8))
        assert not backend.ready()
        server.ready = True
        await ticking(backend, lambda: backend.available(INT8))
        assert events.names == ["upstream down", "upstream up"]
        assert "503" in events[0][1]["reason"]

    behind(server, use)


def test_an_old_bad_figure_does_not_exile_a_model() -> None:
    async def use(backend: Upstream, events: Events) -> None:
        known = backend._known[INT8]
        known.learned.invoke = Recent([500.0] * 50)
        backend.times.table.write(known.row, known.learned.invoke.distribution)
        known.learned.used_at = monotonic() - 200
        await ticking(backend, lambda: bool(backend.times.table.mean_ms[known.row] < 200))
        assert known.learned.invoke.distribution.mean_ms < 200

    behind(Server(INT8), use)
