"""An answer with scores that no classifier gives is wrong, whatever server it is from; others are taken."""

from __future__ import annotations

import json
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("aiohttp", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from aiohttp import web
from good_endpoint import answer, endpoint
from oip_server import Server, running
from rude import Asked, Rude, answering, http
from serving import PICTURE

from ondevice import OffloadClient
from ondevice.errors import OffloadError
from ondevice.protocol.response import encode_response
from ondevice.protocol.tensor import Tensor

SMALL = "digits_xs_fp32"
LONG_MS = 20_000.0


def with_score(score: float) -> Callable[[Asked], bytes]:
    """An endpoint whose first class has this score."""

    def replied(asked: Asked) -> bytes:
        if not asked.path.partition("?")[0].endswith("/infer"):
            return endpoint(asked)
        said = answer()
        next(output for output in said["outputs"] if output["name"] == "score")["data"] = [score, 0.25]
        return http(json.dumps(said).encode())

    return replied


def ready(client: OffloadClient) -> OffloadClient:
    assert client.ready(60)
    return client


@pytest.mark.parametrize("score", [1e30, -1e30])
def test_an_endpoints_are_a_failure_and_the_device_answers(score: float) -> None:
    with Rude(answering(with_score(score))) as server:
        with OffloadClient(server.url, sla_ms=LONG_MS, mode="cloud") as client:
            with pytest.raises(OffloadError, match="is none that a classifier gives") as caught:
                ready(client).classify(PICTURE)
            assert caught.value.failure == "wrong"
        with OffloadClient(server.url, SMALL, LONG_MS, "hedge") as client:
            found = ready(client).classify(PICTURE)
    assert (found.where, found.label) == ("device", "7")
    assert f"a score of {score:g} is none that a classifier gives" in found.why


@pytest.mark.parametrize("score", [1.0, 1 + 1 / 256, 42.5, -3000.0])
def test_an_endpoints_that_probabilities_and_logits_can_be_are_believed(score: float) -> None:
    with (
        Rude(answering(with_score(score))) as server,
        OffloadClient(server.url, sla_ms=LONG_MS, mode="cloud") as client,
    ):
        assert ready(client).classify(PICTURE).score == score


@pytest.mark.parametrize("pictures", [True, False])
def test_another_servers_are_a_failure_too(pictures: bool) -> None:
    server = Server(SMALL, pictures=pictures)
    own = server.runners[SMALL].model.output

    async def spoiled(response: web.Response) -> web.Response:
        outputs = [
            Tensor.of("label", [b"7"]),
            Tensor.of("score", np.array([1e30], np.float32)),
            Tensor.of("index", np.array([7], np.int32)),
            Tensor.of(own.name, np.full(own.shape, 1e30, np.float32)),
        ]
        return web.Response(body=encode_response(SMALL, "1", outputs)[0])

    server.spoil[SMALL] = spoiled
    with running(server) as url, OffloadClient(url, sla_ms=LONG_MS, mode="cloud") as client:
        with pytest.raises(OffloadError, match="is none that a classifier gives") as caught:
            ready(client).classify(PICTURE)
        assert caught.value.failure == "wrong"
