"""The backend that forwards, in front of servers in this process: good ones and rude ones."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable
from time import monotonic
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from clock import Clock
from fronting import FP32, INT8, PICTURES, Events, answered, behind, fronted, matches, ticking, work
from oip_server import Server, end, listening

from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream import link, model, session, upstream
from ondevice.cloud.backends.upstream.send_turns import MAX_INFERENCES
from ondevice.cloud.backends.upstream.upstream import Upstream
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.supervisor import Workers
from ondevice.errors import ImageError, ServeError, UpstreamError, UsageError
from ondevice.image import pixels
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.response import encode_response
from ondevice.protocol.tensor import Tensor
from ondevice.runner import Runner
from ondevice.timing.recent import Recent

PHOTO = PictureHead.guessed(100_000)

# Starting


@pytest.fixture
def unused_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    return port


def test_it_finds_the_models_and_what_they_are() -> None:
    async def use(backend: Upstream, events: Events) -> None:
        assert [served.name for served in backend.models] == [INT8, FP32]
        served, runner = backend.models[0], Runner(INT8)
        assert runner.card is not None
        assert runner.card.accuracy is not None
        assert served.top1 == runner.card.accuracy.top1
        assert served.labels == runner.labels.names
        assert served.where == backend.name
        own = runner.model.input
        assert served.input == TensorMetadata.of(own.name, own.shape, own.dtype)
        assert backend.ready()
        assert backend.available(INT8)
        assert (backend.times.table.mean_ms > 0).all()
        profile = backend.times.profile(INT8)
        assert (profile.model, profile.host, profile.runtime) == (INT8, backend.name, "oip")
        assert profile.n >= 2
        assert backend.times.overhead_ms(PHOTO).shape == backend.queue.wait_ms(PHOTO).shape == (2,)
        assert not events

    behind(Server(INT8, FP32), use)


def test_one_model_of_a_server_that_lists_none() -> None:
    server = Server(INT8, FP32)
    server.indexed = False

    async def main() -> None:
        async with listening(server) as url:
            async with fronted(f"{url}/v2/models/{FP32}") as (backend, _):
                assert [served.name for served in backend.models] == [FP32]
            with pytest.raises(ServeError, match="/v2/models/NAME"):
                async with fronted(url):
                    pass

    asyncio.run(main())


def test_nobody_listens(unused_port: int) -> None:
    async def main() -> None:
        async with fronted(f"http://127.0.0.1:{unused_port}"):
            pass

    with pytest.raises(ServeError, match="connection refused; see that") as caught:
        asyncio.run(main())
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_ready_is_no_start() -> None:
    server = Server(INT8)
    server.ready = False
    with pytest.raises(ServeError, match="503"):
        behind(server, _nothing)


async def _nothing(backend: Upstream, events: Events) -> None:
    pass


def test_the_token_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server(INT8)
    server.token = "open sesame"
    with pytest.raises(ServeError, match="ONDEVICE_UPSTREAM_TOKEN"):
        behind(server, _nothing)
    monkeypatch.setenv("ONDEVICE_UPSTREAM_TOKEN", "open sesame")

    async def use(backend: Upstream, events: Events) -> None:
        assert (await backend.run(Ticket(INT8, work()))).top

    behind(server, use)


def test_models_that_nothing_is_known_of_are_left_out_and_told() -> None:
    server = Server(INT8)
    server.extra["mystery"] = {
        "inputs": [end("x", (1, 8, 8, 3), np.dtype("f4"))],
        "outputs": [end("y", (1, 9), np.dtype("f4"))],
    }
    server.extra["nonsense"] = {"inputs": 5}

    async def use(backend: Upstream, events: Events) -> None:
        assert [served.name for served in backend.models] == [INT8]
        assert events.names == ["upstream model left out"] * 2
        assert [fields["model"] for _, fields in events] == ["mystery", "nonsense"]

    behind(server, use)
    server.runners.clear()
    with pytest.raises(ServeError, match="ondevice models add"):
        behind(server, use)


def test_a_model_that_does_not_answer_well_is_left_out() -> None:
    server = Server(INT8, FP32)
    server.spoil[FP32] = html

    async def use(backend: Upstream, events: Events) -> None:
        assert [served.name for served in backend.models] == [INT8]
        assert "its response is not valid OIP" in events[0][1]["reason"]

    behind(server, use)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000",
        "ftp://localhost",
        "http://",
        "http://a:b:c",
        "http://a:99999",
        "http://me:hunter2@a:80",
        "http://a/v1/models/m",
        "http://a/v2/models/",
        "http://a/v2/models/m/infer",
        "http://a?b=c",
        "http://a#b",
    ],
)
def test_urls_that_are_none(url: str) -> None:
    with pytest.raises(UsageError) as caught:
        Upstream(url, None, Events())
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("http://gpu", "gpu:80"),
        ("https://gpu/", "gpu:443"),
        ("http://gpu:8000/v2/models/a%2Fb", "gpu:8000"),
        ("http://[::1]:8000", "[::1]:8000"),
    ],
)
def test_its_name(url: str, name: str) -> None:
    assert Upstream(url, None, Events()).name == name


def test_what_its_server_has_learned_is_moved_by_the_way_there() -> None:
    server = Server(INT8)
    quantiles = [1.0 + n / 10 for n in range(21)]
    server.profile = {
        "model": INT8, "mean_ms": 2.0, "std_ms": 0.6, "quantiles_ms": quantiles,
        "n": 500, "host": "there", "runtime": "litert", "threads": 3,
    }  # fmt: skip

    async def slowly(response: web.Response) -> web.Response:
        await asyncio.sleep(0.05)
        return response

    server.spoil[INT8] = slowly

    async def use(backend: Upstream, events: Events) -> None:
        profile = backend.times.profile(INT8)
        assert profile.quantiles_ms[0] > 45, "later by the way"
        assert profile.quantiles_ms[-1] - profile.quantiles_ms[0] == pytest.approx(2, abs=0.3), "as wide as there"
        assert (profile.n, profile.threads) == (500, 3)

    behind(server, use)


# Working


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
                assert (backend.times.overhead_ms(PHOTO) > backend.times.overhead_ms(None)).all()
                assert len(pool.queue) == pool.crew.busy == 0
        finally:
            pool.close()

    asyncio.run(main())


def test_without_workers_such_models_are_left_out() -> None:
    with pytest.raises(ServeError, match="no worker here decodes pictures"):
        behind(Server(FP32, pictures=False), _nothing)


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
        assert backend.times.overhead_ms(None).max() < 1.0

    behind(Server(INT8), use)


def test_what_was_done_with_a_request_before_is_no_overhead_of_this_server() -> None:
    async def use(backend: Upstream, events: Events) -> None:
        await backend.run(Ticket(INT8, work()._replace(received=-1e9)))
        assert backend.times.overhead_ms(None).max() < 1e6

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


# Going wrong


async def html(response: web.Response) -> web.Response:
    return web.Response(text="<html>Welcome to nginx!</html>", content_type="text/html")


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
        del server.spoil[INT8]
        await ticking(backend, lambda: backend.available(INT8))

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

    behind(Server(INT8), use)
