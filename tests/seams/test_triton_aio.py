"""Triton's own asynchronous client, unchanged, in front of a running endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, Endpoint

MODEL = FAMILY[2]
Use = Callable[[Callable[[Any], Awaitable[Any]]], Any]


@pytest.fixture(scope="module")
def aio() -> Any:
    return pytest.importorskip("tritonclient.http.aio", reason="needs `pip install 'tritonclient[http]'`")


@pytest.fixture
def use(aio: Any, endpoint: Endpoint) -> Use:
    """Gives what comes of a use of a client."""

    def using(work: Callable[[Any], Awaitable[Any]]) -> Any:
        async def run() -> Any:
            async with aio.InferenceServerClient(endpoint.url.removeprefix("http://")) as client:
                return await work(client)

        return asyncio.run(run())

    return using


def test_it_is_there(use: Use) -> None:
    async def look(client: Any) -> tuple[bool, ...]:
        live, ready = await client.is_server_live(), await client.is_server_ready()
        return live, ready, await client.is_model_ready("cnnselect"), await client.is_model_ready("nothing")

    assert use(look) == (True, True, True, False)


@pytest.mark.parametrize("binary", [True, False])
def test_pictures_at_once(use: Use, image: Callable[[bool], Any], aio: Any, binary: bool) -> None:
    outputs = [aio.InferRequestedOutput(name, binary_data=binary) for name in ("index", "score")]

    async def ask(client: Any) -> Any:
        asked = (client.infer("cnnselect", [image(binary)], outputs=outputs, timeout=60_000_000) for _ in range(8))
        return await asyncio.gather(*asked)  # a minute, in µs: a busy machine refuses what it cannot do in a second

    assert [result.as_numpy("index")[0] for result in use(ask)] == [7] * 8


def test_a_models_own_tensor_its_configuration_and_its_statistics(use: Use, aio: Any) -> None:
    async def ask(client: Any) -> tuple[Any, ...]:
        (own,) = (await client.get_model_metadata(MODEL))["inputs"]
        tensor = aio.InferInput(own["name"], own["shape"], own["datatype"])
        tensor.set_data_from_numpy(np.zeros(own["shape"], np.int8))
        before = await client.get_inference_statistics(MODEL)
        result = await client.infer(MODEL, [tensor])
        return result, await client.get_model_config(MODEL), before, await client.get_inference_statistics(MODEL)

    result, config, *statistics = use(ask)
    assert result.as_numpy(config["output"][0]["name"]).shape == tuple(config["output"][0]["dims"]) == (1, 10)
    before, after = (found["model_stats"][0]["inference_count"] for found in statistics)
    assert after == before + 1


def test_what_is_refused_is_its_exception(use: Use, image: Callable[[bool], Any]) -> None:
    from tritonclient.utils import InferenceServerException

    async def ask(client: Any) -> None:
        await client.infer("cnnselect", [image(True)], parameters={"sla_ms": -1})

    with pytest.raises(InferenceServerException, match=r"sla_ms must be a number from 0\.001"):
        use(ask)
