"""The backend that forwards meets a server: which of its models are served, and what it cannot start with."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
from aiohttp import web
from events import Events
from fronting import FP32, INT8, behind, fronted, html, work
from oip_server import Server, end, listening
from ports import closed_port

from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream.upstream import Upstream
from ondevice.cloud.backends.upstream.url import parsed
from ondevice.errors import ServeError, UsageError
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.picture import PictureHead
from ondevice.runner import Runner

PHOTO = PictureHead.guessed(100_000)


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
        assert backend.times.work_ms(PHOTO).shape == backend.queue.wait_ms(PHOTO).shape == (2,)
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


def test_nobody_listens() -> None:
    async def main(port: int) -> None:
        async with fronted(f"http://127.0.0.1:{port}"):
            pass

    with closed_port() as port, pytest.raises(ServeError, match="connection refused; see that") as caught:
        asyncio.run(main(port))
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
        "ftp://localhost:21",
        "//localhost:8000",
        "http://",
        "http://a:b:c",
        "http://a:99999",
        "http://me:hunter2@a:80",
        "http://a/v1/models/m",
        "http://a/v2/models/",
        "http://a/v2/models/m/infer",
        "http://a/v2",
        "http://a/b/v2/",
        "http://a//b",
        "http://a/v2/models/m/versions/",
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


@pytest.mark.parametrize(
    ("url", "host", "parts"),
    [
        ("http://gpu:8000/a/b/", None, ("http://gpu:8000/a/b", "gpu:8000/a/b", None, None)),
        ("http://gpu/a b%20c", None, ("http://gpu:80/a%20b%20c", "gpu:80/a%20b%20c", None, None)),
        ("https://gpu/a/v2/models/m%2Fn", None, ("https://gpu:443/a", "gpu:443/a", "m/n", None)),
        ("http://gpu/v2/models/m/versions/3", None, ("http://gpu:80", "gpu:80", "m", "3")),
        ("http://gpu/v2/models/m/versions/%C3%BC 1", None, ("http://gpu:80", "gpu:80", "m", "ü 1")),
        ("http://10.0.0.1/a", "m.example.com", ("http://10.0.0.1:80/a", "m.example.com/a", None, None)),
    ],
)
def test_what_a_url_means(url: str, host: str | None, parts: tuple[str | None, ...]) -> None:
    assert parsed(url, host) == (*parts, host)


def test_a_host_that_is_not_one_is_named_by_its_flag() -> None:
    with pytest.raises(UsageError, match=r"^--upstream-host 'a b' is not a Host"):
        parsed("http://gpu", "a b")


def test_behind_an_ingress_that_goes_by_path_and_host() -> None:
    server = Server(FP32)
    server.prefix, server.host = "/serving/digits", "digits.example.com"

    async def main() -> None:
        async with listening(server) as url:
            assert url.endswith("/serving/digits")
            with pytest.raises(ServeError, match="404"):
                async with fronted(url):
                    pass
            for one in (url, f"{url}/v2/models/{FP32}"):
                async with fronted(one, host="digits.example.com") as (backend, _):
                    assert backend.name == "digits.example.com/serving/digits"
                    assert (await backend.run(Ticket(FP32, work()))).top

    asyncio.run(main())


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_of_several_versions_one_that_is_ready_makes_the_model_ready(order: list[int]) -> None:
    """Triton goes on with the version before where the newest cannot be loaded, and has a row for each."""
    rows = [
        {"name": FP32, "version": "1", "state": "READY"},
        {"name": FP32, "version": "2", "state": "UNAVAILABLE", "reason": "load failed"},
    ]
    server = Server(FP32)
    server.rows = [rows[place] for place in order]

    async def use(backend: Upstream, events: Events) -> None:
        assert [served.name for served in backend.models] == [FP32]
        assert (await backend.run(Ticket(FP32, work()))).top

    behind(server, use)
    assert server.indexes == [{"ready": True}]
    server.rows = rows[1:]
    with pytest.raises(ServeError, match="none that is ready"):
        behind(server, use)


def test_a_version_that_is_named_is_the_one_that_is_asked() -> None:
    server = Server(FP32)

    async def main() -> None:
        async with listening(server) as url:
            async with fronted(f"{url}/v2/models/{FP32}/versions/1") as (backend, _):
                assert (await backend.run(Ticket(FP32, work()))).top
            with pytest.raises(ServeError, match="404"):
                async with fronted(f"{url}/v2/models/{FP32}/versions/2"):
                    pass

    asyncio.run(main())
    assert set(server.versions) == {"1", "2"}


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


def test_without_workers_such_models_are_left_out() -> None:
    with pytest.raises(ServeError, match="no worker here decodes pictures"):
        behind(Server(FP32, pictures=False), _nothing)
