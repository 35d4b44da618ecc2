"""Other people's servers as they answered once, asked by our endpoint's backend and by our client."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from events import Events
from fronting import fronted, work
from oip_server import listening, running
from recorded import Recorded
from serving import PICTURE

from ondevice.client.offload import OffloadClient
from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.supervisor import Workers

MODEL = "digits_xs_fp32"
# What each gives as the score of PICTURE's class, and whether it takes the binary extension, which neither lists.
SERVERS = pytest.mark.parametrize(("name", "binary"), [("mlserver-1.7.1", False), ("kserve-0.21.0", True)])
SCORE = pytest.approx(0.85135, abs=1e-4)


def inferences(server: Recorded) -> list[bool]:
    """Of the inferences that were asked for, which in binary."""
    return [asked["binary"] for asked in server.asked if asked["path"].endswith("/infer")]


async def run_twice(server: Recorded) -> tuple[list[str], list[InferenceResult]]:
    """The models that a backend finds, and what two requests are answered."""
    pool = Pool(Workers(1), Events())
    await pool.start()
    try:
        async with listening(server) as url, fronted(url, pool) as (backend, _):
            results = [await backend.run(Ticket(MODEL, work(PICTURE))) for _ in range(2)]
            return [served.name for served in backend.models], results
    finally:
        pool.close()


@SERVERS
def test_our_endpoint_in_front_of_it(name: str, binary: bool) -> None:
    server = Recorded(name)
    names, results = asyncio.run(run_twice(server))
    assert names == [MODEL]
    assert [result.top[0] for result in results] == [(7, SCORE)] * 2
    assert server.unknown == []
    first, *others = inferences(server)
    assert first, "it is tried"
    assert set(others) == {binary}, "and what was found is remembered"


@SERVERS
def test_our_client_asks_it(name: str, binary: bool) -> None:
    server = Recorded(name)
    with running(server) as url, OffloadClient(url, sla_ms=20_000, mode="cloud") as client:
        assert client.cloud
        assert client.cloud.ready(10), client.cloud.problem
        answers = [client.classify(PICTURE) for _ in range(3)]
    assert [(answer.label, answer.score) for answer in answers] == [("7", SCORE)] * 3
    assert server.unknown == []
    assert inferences(server) == ([True] * 3 if binary else [True, False, False, False])
