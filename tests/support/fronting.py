"""A backend that forwards, in front of a server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic, perf_counter

import pytest
from aiohttp import web
from events import Events
from oip_server import Server, listening

from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream.upstream import Upstream
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.errors import UpstreamError
from ondevice.models import zoo
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.served import Work
from ondevice.runner import Runner

INT8, FP32 = "digits_m_int8", "digits_xs_fp32"
PICTURES = [path.read_bytes() for path in sorted(zoo.samples_dir().glob("*/*.png"))[::7]]


@contextlib.asynccontextmanager
async def fronted(
    url: str, pool: Pool | None = None, host: str | None = None
) -> AsyncIterator[tuple[Upstream, Events]]:
    """A backend in front of the server at `url`, started."""
    events = Events()
    backend = Upstream(url, pool, events, host)
    try:
        await backend.start()
        yield backend, events
    finally:
        backend.close()


def behind(server: Server, use: Callable[[Upstream, Events], Awaitable[None]]) -> None:
    """Use a backend in front of `server`."""

    async def main() -> None:
        async with listening(server) as url, fronted(url) as (backend, events):
            await use(backend, events)

    asyncio.run(main())


def work(payload: bytes = PICTURES[0], picture: bool = True, top: int = 3, raw: bool = False) -> Work:
    return Work(payload, picture, top, raw, perf_counter(), PictureHead.read(payload) if picture else None)


async def ticking(backend: Upstream, until: Callable[[], bool], seconds: float = 60.0) -> None:
    """Tick as the server does, until something holds."""
    end = monotonic() + seconds
    while not until():
        assert monotonic() < end, "it never came to hold"
        backend.tick()
        await asyncio.sleep(0.02)


async def answered(backend: Upstream, model: str) -> InferenceResult | UpstreamError:
    try:
        return await backend.run(Ticket(model, work()))
    except UpstreamError as error:
        return error


def matches(result: InferenceResult, runner: Runner, picture: bytes) -> None:
    expected = runner.classify(picture, 3).top
    assert [(p.index, pytest.approx(p.score, abs=1e-6)) for p in expected] == result.top


async def html(response: web.Response) -> web.Response:
    """In the place of its answer the page of a web server that nobody has set up."""
    return web.Response(text="<html>Welcome to nginx!</html>", content_type="text/html")
