"""Other people's servers as they answered once, asked by our endpoint's backend and by our client."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

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

SMALL, GOOD = "digits_xs_fp32", "digits_s_fp32"


class Known(NamedTuple):
    """What is known of a server: its models, those of most accuracy first; the score that the first gives PICTURE's
    class; whether it takes the binary extension.
    """

    name: str
    models: list[str]
    score: float
    binary: bool


# Neither MLServer nor KServe's lists the extension. Triton's SMALL has a version 2, which could not be loaded; its GOOD
# takes no batches.
SERVERS = pytest.mark.parametrize(
    "known",
    [
        Known("mlserver-1.7.1", [SMALL], 0.85135, binary=False),
        Known("kserve-0.21.0", [SMALL], 0.85135, binary=True),
        Known("triton-2.51.0", [GOOD, SMALL], 0.80984, binary=True),
    ],
    ids=lambda known: known.name,
)


def inferences(server: Recorded) -> list[bool]:
    """Of the inferences that were asked for, which in binary."""
    return [asked["binary"] for asked in server.asked if asked["path"].endswith("/infer")]


async def run_twice(server: Recorded, model: str) -> tuple[list[str], list[InferenceResult]]:
    """The models that a backend finds, and what two requests are answered by one of them."""
    pool = Pool(Workers(1), Events())
    await pool.start()
    try:
        async with listening(server) as url, fronted(url, pool) as (backend, _):
            results = [await backend.run(Ticket(model, work(PICTURE))) for _ in range(2)]
            return [served.name for served in backend.models], results
    finally:
        pool.close()


@SERVERS
def test_our_endpoint_in_front_of_it(known: Known) -> None:
    server = Recorded(known.name)
    names, results = asyncio.run(run_twice(server, known.models[0]))
    assert names == known.models
    assert [result.top[0] for result in results] == [(7, pytest.approx(known.score, abs=1e-4))] * 2
    assert server.unknown == []
    first, *others = inferences(server)
    assert first, "it is tried"
    assert set(others) == {known.binary}, "and what was found is remembered"


@SERVERS
def test_our_client_asks_it(known: Known) -> None:
    server = Recorded(known.name)
    with running(server) as url, OffloadClient(url, sla_ms=20_000, mode="cloud") as client:
        assert client.cloud
        assert client.ready(60), client.cloud.problem
        answers = [client.classify(PICTURE) for _ in range(3)]
    assert {(answer.label, answer.model) for answer in answers} == {("7", known.models[0])}
    assert [answer.score for answer in answers] == [pytest.approx(known.score, abs=1e-4)] * 3
    assert server.unknown == []
    assert inferences(server) == ([True] * 3 if known.binary else [True, False, False, False])
