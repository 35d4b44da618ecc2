"""The backend that forwards, at work in front of good servers in this process."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from clock import Clock
from events import Events
from fronting import FP32, INT8, PICTURES, behind, fronted, matches, work
from oip_server import Server, listening

from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream import link, model, session, upstream
from ondevice.cloud.backends.upstream.send_turns import MAX_INFERENCES
from ondevice.cloud.backends.upstream.upstream import Upstream
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.supervisor import Workers
from ondevice.errors import ImageError
from ondevice.image import pixels
from ondevice.protocol.picture import PictureHead
from ondevice.runner import Runner

PHOTO = PictureHead.guessed(100_000)


def test_pictures_pass_as_they_are_and_are_ranked_there() -> None:
    async def use(backend: Upstream, events: Events) -> None:
        for name in (INT8, FP32):
            runner = Runner(name)
            for picture in PICTURES:
                result = await backend.run(Ticket(name, work(picture)))
                matches(result, runner, picture)
                assert result.infer_ms > 0
                assert (result.model, result.decode_ms) == (name, 0)
        assert backend.queue.waiting == 0

    behind(Server(INT8, FP32), use)


def test_the_models_own_output_and_its_own_input() -> None:
    runner = Runner(INT8)
    tensor = runner.prepare(PICTURES[0])

    async def use(backend: Upstream, events: Events) -> None:
        stored = runner.model.invoke(tensor)
        result = await backend.run(Ticket(INT8, work(raw=True)))
        matches(result, runner, PICTURES[0])
        assert result.raw == stored.tobytes()
        result = await backend.run(Ticket(INT8, work(tensor.tobytes(), picture=False, top=3, raw=True)))
        matches(result, runner, PICTURES[0])
        assert result.raw == stored.tobytes()
        result = await backend.run(Ticket(INT8, work(tensor.tobytes(), picture=False, top=0, raw=True)))
        assert (result.top, result.raw) == ([], stored.tobytes())

    behind(Server(INT8), use)


def test_pictures_are_decoded_here_for_models_that_take_only_tensors() -> None:
    async def main() -> None:
        pool = Pool(Workers(1), Events())
        await pool.start()
        try:
            async with listening(Server(INT8, FP32, pictures=False)) as url, fronted(url, pool) as (backend, events):
                assert not events
                for picture in PICTURES:
                    result = await backend.run(Ticket(FP32, work(picture)))
                    matches(result, Runner(FP32), picture)
                    assert result.decode_ms > 0
                    runner = Runner(INT8)
                    stored = (pixels(picture, runner.input).astype(int) - 128).astype(np.int8)
                    expected = runner.best(runner.model.invoke(stored.reshape(runner.model.input.shape)), 3)
                    result = await backend.run(Ticket(INT8, work(picture)))
                    assert result.top == [(p.index, pytest.approx(p.score)) for p in expected]
                with pytest.raises(ImageError):
                    await backend.run(Ticket(INT8, work(b"no picture")))
                assert backend.available(INT8)
                assert (backend.times.work_ms(PHOTO) > backend.times.work_ms(None)).all()
                assert len(pool.queue) == pool.crew.busy == 0
        finally:
            pool.close()

    asyncio.run(main())


def test_what_runs_is_learned() -> None:
    server = Server(INT8, FP32)

    async def slowly(response: web.Response) -> web.Response:
        await asyncio.sleep(0.1)
        return response

    async def use(backend: Upstream, events: Events) -> None:
        version, before = backend.times.table.version, backend.times.table.mean_ms.copy()
        server.spoil[INT8] = slowly
        for _ in range(5):
            await backend.run(Ticket(INT8, work()))
        assert backend.times.table.version > version
        assert backend.times.table.mean_ms[0] > before[0] + 20
        assert backend.times.table.mean_ms[1] == before[1]

    behind(server, use)


def test_many_at_once_are_counted_and_crowd_it(monkeypatch: pytest.MonkeyPatch) -> None:
    # On a busy machine so many at once take a second; that an answer is late is another test's.
    monkeypatch.setattr(model, "_LATE_S", 60.0)
    monkeypatch.setattr(session, "_CONNECT_S", 60.0)
    server, gate = Server(INT8), asyncio.Event()

    async def held(response: web.Response) -> web.Response:
        await gate.wait()
        return response

    async def use(backend: Upstream, events: Events) -> None:
        server.spoil[INT8] = held
        tasks = [asyncio.create_task(backend.run(Ticket(INT8, work()))) for _ in range(MAX_INFERENCES + 5)]
        await asyncio.sleep(0)
        assert backend.queue.waiting == len(tasks)
        assert backend.queue.saturated
        gate.set()
        results = await asyncio.gather(*tasks)
        assert all(result.top for result in results)
        assert backend.queue.waiting == 0
        assert not backend.queue.saturated

    behind(server, use)


def taking(clock: Clock, backend: Upstream, ms: float) -> None:
    """Have the server answer after so long by the clock, and with what it answered at the start."""
    answer = backend.link.client.infer

    async def infer(*request: Any) -> Any:
        response = await answer(*request)
        clock.pass_ms(ms)
        return response

    backend.link.client.infer = infer  # type: ignore[method-assign]


def test_the_wait_for_our_own_turn_is_no_part_of_the_round_trip(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(link, "perf_counter", clock)
    monkeypatch.setattr(upstream, "perf_counter", clock)

    async def use(backend: Upstream, events: Events) -> None:
        taking(clock, backend, 5.0)
        turn = backend.link.turns.turn
        for _ in range(MAX_INFERENCES):
            await turn.acquire()
        task = asyncio.create_task(backend.run(Ticket(INT8, work())))
        await asyncio.sleep(0)
        clock.pass_ms(10_000)
        turn.release()
        result = await task
        assert (result.queue_ms, result.infer_ms) == (pytest.approx(10_000), pytest.approx(5.0))
        assert backend.times.profile(INT8).quantiles_ms[-1] == pytest.approx(5.0)
        assert backend.times.way_ms < 1.0

    behind(Server(INT8), use)


def test_what_was_done_with_a_request_before_is_no_overhead_of_this_server() -> None:
    async def use(backend: Upstream, events: Events) -> None:
        await backend.run(Ticket(INT8, work()._replace(received=-1e9)))
        assert backend.times.way_ms < 1e6

    behind(Server(INT8), use)


def test_a_client_that_goes_leaves_nothing_behind() -> None:
    server = Server(INT8)

    async def never(response: web.Response) -> web.Response:
        await asyncio.sleep(60)
        return response

    async def use(backend: Upstream, events: Events) -> None:
        server.spoil[INT8] = never
        task = asyncio.create_task(backend.run(Ticket(INT8, work())))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert backend.queue.waiting == 0
        assert backend.available(INT8)

    behind(server, use)


def test_unloaded_by_hand() -> None:
    async def use(backend: Upstream, events: Events) -> None:
        backend.unload(INT8)
        assert not backend.available(INT8)
        assert backend.available(FP32)
        assert backend.ready()
        backend.unload(FP32)
        assert not backend.ready()
        await backend.load(INT8)
        assert backend.available(INT8)

    behind(Server(INT8, FP32), use)
