"""Triton's own client, unchanged, in front of a running endpoint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, PICTURE, Endpoint

from ondevice.runner import Runner

INFER, MODEL = "/v2/models/cnnselect/infer", FAMILY[2]


@pytest.fixture(scope="module")
def triton() -> Any:
    return pytest.importorskip("tritonclient.http", reason="needs `pip install 'tritonclient[http]'`")


@pytest.fixture(scope="module")
def client(triton: Any, endpoint: Endpoint) -> Iterator[Any]:
    made = triton.InferenceServerClient(endpoint.url.removeprefix("http://"))
    yield made
    made.close()


@pytest.fixture
def fails(triton: Any) -> Callable[..., tuple[str, str]]:
    """The status and message of the exception that a call must end with."""
    from tritonclient.utils import InferenceServerException

    def failing(call: Callable[..., Any], *arguments: Any, **more: Any) -> tuple[str, str]:
        with pytest.raises(InferenceServerException) as caught:
            call(*arguments, **more)
        return caught.value.status(), caught.value.message()

    return failing


def test_triton_health(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("cnnselect")
    assert client.is_model_ready(FAMILY[0], "1")
    assert not client.is_model_ready("nothing")


def test_triton_metadata(client: Any, fails: Callable[..., tuple[str, str]]) -> None:
    assert client.get_server_metadata()["name"] == "ondevice"
    assert [tensor["name"] for tensor in client.get_model_metadata("cnnselect")["inputs"]] == ["image"]
    assert [tensor["shape"] for tensor in client.get_model_metadata(FAMILY[2], "1")["inputs"]] == [[1, 48, 48, 1]]
    assert [row["name"] for row in client.get_model_repository_index()] == ["cnnselect", *FAMILY]
    status, message = fails(client.get_model_metadata, "nothing")
    assert (status, message) == ("404", f"no model 'nothing': there are cnnselect, {', '.join(FAMILY)}")


def test_triton_loads_and_unloads(client: Any, fails: Callable[..., tuple[str, str]], image: Any) -> None:
    client.unload_model(FAMILY[1])
    assert not client.is_model_ready(FAMILY[1])
    status, message = fails(client.infer, FAMILY[1], [image()])
    assert status == "400"
    assert message.endswith("load first")
    client.load_model(FAMILY[1])
    client.unload_model(FAMILY[1], unload_dependents=True)
    assert not client.is_model_ready(FAMILY[1])
    for more in ({"config": "{}"}, {"config": "{}", "files": {"file:1/model.tflite": b"TFL3"}}):
        status, message = fails(client.load_model, FAMILY[1], **more)
        assert status == "400"
        assert message.startswith("config")
        assert message.endswith("load it without parameters")
    assert not client.is_model_ready(FAMILY[1])
    client.load_model(FAMILY[1])
    assert client.is_model_ready(FAMILY[1])
    assert fails(client.load_model, "nothing")[0] == "404"


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_triton_infers_on_cnnselect(client: Any, triton: Any, image: Any, binary_in: bool, binary_out: bool) -> None:
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in ("index", "label", "score")]
    parameters = {"sla_ms": 5000.0, "top": 3, "policy": "static-accuracy"}
    result = client.infer("cnnselect", [image(binary_in)], outputs=outputs, parameters=parameters, request_id="q7")
    assert result.as_numpy("index")[0] == 7
    label = result.as_numpy("label")[0]
    assert (label.decode() if isinstance(label, bytes) else label) == "7"
    assert result.as_numpy("score").shape == (3,)
    response = result.get_response()
    assert (response["model_name"], response["id"]) == ("cnnselect", "q7")
    assert response["parameters"]["selected_model"] == FAMILY[3]


def test_triton_infers_without_naming_outputs(client: Any, image: Any) -> None:
    result = client.infer("cnnselect", [image()], timeout=5_000_000)
    assert result.as_numpy("label")[0] == b"7"
    assert 4000 < result.get_response()["parameters"]["budget_ms"] <= 5000


@pytest.mark.parametrize("binary", [True, False])
def test_triton_infers_on_a_models_own_tensor(client: Any, triton: Any, image: Any, binary: bool) -> None:
    metadata = client.get_model_metadata(FAMILY[2])
    (face,), output = metadata["inputs"], metadata["outputs"][0]["name"]
    tensor = triton.InferInput(face["name"], face["shape"], face["datatype"])
    tensor.set_data_from_numpy(np.full(face["shape"], 3, np.int8), binary_data=binary)
    own = client.infer(FAMILY[2], [tensor], outputs=[triton.InferRequestedOutput(output, binary_data=binary)])
    assert own.as_numpy(output).shape == (1, 10)
    assert own.as_numpy(output).dtype == np.int8
    assert own.as_numpy(output).tolist() == client.infer(FAMILY[2], [tensor]).as_numpy(output).tolist()


@pytest.mark.parametrize("binary", [True, False])
def test_triton_classifies_by_a_models_own_output(client: Any, triton: Any, image: Any, binary: bool) -> None:
    output = client.get_model_metadata(MODEL)["outputs"][0]["name"]
    runner = Runner(MODEL)
    stored = runner.model.invoke(runner.prepare(PICTURE)).ravel()
    wanted = [triton.InferRequestedOutput(output, class_count=2, binary_data=binary)]
    ranked = client.infer(MODEL, [image()], outputs=wanted).as_numpy(output)[0]
    best = [row.decode() if isinstance(row, bytes) else row for row in ranked]
    second = int(np.argsort(-stored.astype(int), kind="stable")[1])
    assert best == [f"{stored[7]}:7:7", f"{stored[second]}:{second}:{second}"], "the values as they are stored"


def test_triton_obeys_the_metadata_to_the_letter(client: Any, triton: Any) -> None:
    for name in ("cnnselect", *FAMILY):
        metadata = client.get_model_metadata(name)
        inputs = []
        for told in metadata["inputs"]:
            tensor = triton.InferInput(told["name"], told["shape"], told["datatype"])
            value = np.array([PICTURE], object) if told["datatype"] == "BYTES" else np.zeros(told["shape"], np.int8)
            tensor.set_data_from_numpy(value)
            inputs.append(tensor)
        outputs = [triton.InferRequestedOutput(told["name"]) for told in metadata["outputs"]]
        result = client.infer(name, inputs, outputs=outputs)
        for told in metadata["outputs"]:
            got = result.get_output(told["name"])
            assert got["datatype"] == told["datatype"]
            assert [
                size for size, asked in zip(got["shape"], told["shape"], strict=True) if asked not in (-1, size)
            ] == []


def test_triton_gets_the_configuration(client: Any) -> None:
    config = client.get_model_config(MODEL, "1")
    metadata = client.get_model_metadata(MODEL)
    assert (config["name"], config["max_batch_size"]) == (MODEL, 0)
    for key, tensors in (("input", metadata["inputs"]), ("output", metadata["outputs"])):
        assert config[key] == [
            {"name": t["name"], "data_type": f"TYPE_{t['datatype']}", "dims": t["shape"]} for t in tensors
        ]
    assert client.get_model_config("cnnselect")["input"] == [{"name": "image", "data_type": "TYPE_STRING", "dims": [1]}]


def test_triton_gets_the_statistics(client: Any, image: Any) -> None:
    def counted() -> dict[str, Any]:
        return {row["name"]: row for row in client.get_inference_statistics()["model_stats"]}

    before = counted()
    assert list(before) == ["cnnselect", *FAMILY]
    for _ in range(3):
        client.infer("cnnselect", [image()], parameters={"policy": "static-accuracy"})
    client.infer(MODEL, [image()])
    after = counted()
    added = {name: after[name]["inference_count"] - row["inference_count"] for name, row in before.items()}
    assert added == {"cnnselect": 3, FAMILY[0]: 0, FAMILY[1]: 0, MODEL: 1, FAMILY[3]: 3}
    ((row,),) = client.get_inference_statistics(FAMILY[3], "1").values()
    assert row == after[FAMILY[3]]
    parts = row["inference_stats"]
    assert {part["count"] for key, part in parts.items() if key not in ("fail", "cache_hit", "cache_miss")} == {
        row["inference_count"]
    }
    whole = sum(parts[key]["ns"] for key in ("queue", "compute_input", "compute_infer", "compute_output"))
    assert 0 < whole < parts["success"]["ns"]
    assert row["last_inference"] > before[FAMILY[3]]["last_inference"]


def test_triton_asks_without_a_timeout(client: Any, image: Any) -> None:
    budget = client.infer("cnnselect", [image()]).get_response()["parameters"]["budget_ms"]
    asked = client.infer("cnnselect", [image()], timeout=0).get_response()["parameters"]["budget_ms"]
    assert asked == pytest.approx(budget, abs=50)


# What a client of Triton may have compressed: of the request, and of the reply.
CODINGS = ("gzip", "deflate", None)


@pytest.mark.parametrize("there", CODINGS)
@pytest.mark.parametrize("back", CODINGS)
def test_triton_compresses(client: Any, triton: Any, image: Any, there: str | None, back: str | None) -> None:
    for binary in (True, False):
        result = client.infer(
            "cnnselect",
            [image(binary)],
            outputs=[triton.InferRequestedOutput("index", binary_data=binary)],
            request_compression_algorithm=there,
            response_compression_algorithm=back,
        )
        assert result.as_numpy("index")[0] == 7


@pytest.mark.parametrize("there", CODINGS)
@pytest.mark.parametrize("back", CODINGS)
def test_triton_compresses_in_asyncio(endpoint: Endpoint, image: Any, there: str | None, back: str | None) -> None:
    aio = pytest.importorskip("tritonclient.http.aio", reason="needs `pip install 'tritonclient[http]'`")

    async def ask() -> None:
        async with aio.InferenceServerClient(endpoint.url.removeprefix("http://")) as client:
            for tensor in (image(True), image(False)):
                result = await client.infer(
                    "cnnselect", [tensor], request_compression_algorithm=there, response_compression_algorithm=back
                )
                assert result.as_numpy("index")[0] == 7

    asyncio.run(ask())


def test_triton_infers_asynchronously(client: Any, image: Any) -> None:
    pending = [client.async_infer("cnnselect", [image()]) for _ in range(8)]
    assert [request.get_result().as_numpy("index")[0] for request in pending] == [7] * 8


def test_triton_gets_errors_as_its_exception(
    client: Any, triton: Any, image: Any, fails: Callable[..., tuple[str, str]]
) -> None:
    ask = client.infer
    assert fails(ask, "nothing", [image()])[0] == "404"
    assert fails(ask, "cnnselect", [image()], model_version="2") == ("404", "no version '2' of cnnselect: there is 1")
    status, message = fails(ask, "cnnselect", [image()], parameters={"sla_ms": -1})
    assert (status, message) == ("400", "sla_ms must be a number from 0.001 to 3.6e+06")
    assert "no policy" in fails(ask, "cnnselect", [image()], parameters={"policy": "best"})[1]
    assert (
        "there are label, score, index"
        in fails(ask, "cnnselect", [image()], outputs=[triton.InferRequestedOutput("logits")])[1]
    )
    broken = triton.InferInput("image", [1], "BYTES")
    broken.set_data_from_numpy(np.array([b"no picture"], object))
    assert "is not a picture" in fails(ask, "cnnselect", [broken])[1]
    wrong = triton.InferInput("image", [2], "FP32")
    wrong.set_data_from_numpy(np.zeros(2, np.float32))
    assert "image must be one element of BYTES, shape [1]" in fails(ask, "cnnselect", [wrong])[1]
    assert client.infer("cnnselect", [image()]).as_numpy("index")[0] == 7
