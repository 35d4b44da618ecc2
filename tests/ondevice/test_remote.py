"""A model of another server: its metadata, how it is asked, and what of its responses is believed."""

from __future__ import annotations

import base64
import copy
import json
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import orjson
import pytest

from ondevice import remote as remotes
from ondevice.errors import ModelError, ProtocolError, UpstreamError
from ondevice.protocol import arrays_json
from ondevice.protocol.message import ArrayDumps
from ondevice.protocol.metadata import ModelMetadata
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.request import InferRequest, decode_request
from ondevice.protocol.response import InferResponse
from ondevice.protocol.served import Work
from ondevice.protocol.tensor import Tensor
from ondevice.protocol.upload_shares import UploadShares
from ondevice.remote import RemoteModel, best, preparation
from ondevice.runner import Runner
from ondevice.timing.profile import Profile

LABELS = [f"class {n}" for n in range(10)]
PROFILE = {
    "model": "m", "mean_ms": 10.0, "std_ms": 1.0, "quantiles_ms": [float(n) for n in range(21)],
    "n": 30, "host": "there", "runtime": "litert 2", "threads": 2,
}  # fmt: skip


def tensor(name: str, datatype: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


ANSWER = [tensor("label", "BYTES", -1), tensor("score", "FP32", -1), tensor("index", "INT32", -1)]


def ours(**parameters: Any) -> dict[str, Any]:
    """Metadata as `ondevice serve` gives them."""
    return {
        "name": "m",
        "inputs": [tensor("x", "INT8", 1, 40, 40, 1)],
        "outputs": [tensor("y", "INT8", 1, 10)],
        "parameters": {
            "image": {"inputs": [tensor("image", "BYTES", 1)], "outputs": ANSWER},
            "top1": 0.8, "accuracy_data": "digits", "precision": "int8", "background": False, "labels": LABELS,
            "profile": PROFILE, **parameters,
        },
    }  # fmt: skip


def theirs(*shape: int, datatype: str = "FP32") -> dict[str, Any]:
    """Metadata as other servers give them."""
    return {
        "name": "digits_xs_fp32",
        "versions": ["1"],
        "platform": "openvino",
        "inputs": [tensor("x", datatype, *shape)],
        "outputs": [tensor("y", datatype, -1, 10)],
    }


def work(payload: bytes, picture: bool = True, top: int = 3, raw: bool = False) -> Work:
    return Work(payload, picture, top, raw, 0.0)


def describe(name: str, value: Any, where: str) -> RemoteModel:
    """The model of metadata as JSON has them."""
    return remotes.describe(name, ModelMetadata.parse(value), where)


def test_what_another_ondevice_serve_tells() -> None:
    remote = describe("m", ours(), "there:1")
    served = remote.served
    assert (served.name, served.top1, served.accuracy_data, served.precision) == ("m", 0.8, "digits", "int8")
    assert (served.labels, served.background, served.where) == (tuple(LABELS), False, "there:1")
    assert served.input == ("x", "INT8", (1, 40, 40, 1))
    assert served.output == ("y", "INT8", (1, 10))
    assert remote.feed is None
    assert remote.ranks
    assert remote.published == Profile(**{**PROFILE, "quantiles_ms": tuple(PROFILE["quantiles_ms"])})  # type: ignore[arg-type]


def test_version_0_1_0_listed_the_tensors_of_pictures_among_the_others() -> None:
    told = ours()
    pictures = told["parameters"].pop("image")
    older = {key: [*pictures[key], *told[key]] for key in ("inputs", "outputs")}
    assert describe("m", {**told, **older}, "w") == describe("m", ours(), "w")


@pytest.mark.parametrize("value", [None, "yes", [], {}, {"inputs": [tensor("image", "FP32", 1)]}])
def test_without_an_input_for_pictures_it_takes_none(value: Any) -> None:
    with pytest.raises(ModelError, match="nothing is known of its labels"):
        describe("m", ours(image=value), "w")


def test_an_accuracy_that_nobody_measured_stays_unknown() -> None:
    assert describe("m", ours(top1=None), "w").served.top1 is None


@pytest.mark.parametrize(
    "profile",
    [
        None,
        {},
        [],
        {**PROFILE, "mean_ms": "10"},
        {**PROFILE, "mean_ms": -1},
        {**PROFILE, "std_ms": float("nan")},
        {**PROFILE, "quantiles_ms": [1, 2, 3]},
        {**PROFILE, "quantiles_ms": [None] * 21},
        {**PROFILE, "threads": "two"},
        {**PROFILE, "more": 1},
    ],
)
def test_times_that_are_none_are_not_taken(profile: Any) -> None:
    assert describe("m", ours(profile=profile), "w").published is None


def test_what_another_ondevice_serve_tells_of_what_can_be_sent() -> None:
    shares = {"rungs": ["128,40"], "bytes": [2500], "kept": [0.8]}
    served = describe("m", ours(crop=0.875, uploads=shares), "w").served
    assert (served.crop, served.uploads) == (0.875, UploadShares(("128,40",), (2500,), (0.8,)))
    for strange in ({}, {"crop": 0, "uploads": []}, {"crop": True, "uploads": {**shares, "kept": [2]}}, {"crop": "1"}):
        served = describe("m", ours(**strange), "w").served
        assert (served.crop, served.uploads) == (1.0, None), "0.1.0 cuts out the centre of whatever comes"


def test_a_card_tells_how_much_of_a_picture_is_looked_at_where_it_is_decoded_here() -> None:
    name, told = "mobilenet_v1_0.25_128_quant", theirs(1, 128, 128, 3, datatype="UINT8")
    told["outputs"] = [tensor("y", "UINT8", -1, 1001)]
    assert describe(name, told, "w").served.crop == 0.875
    # One that takes pictures, and says nothing of that, cuts them itself.
    told["inputs"].append(tensor("image", "BYTES", 1))
    assert describe(name, told, "w").served.crop == 1.0


@pytest.mark.parametrize("shape", [(1, 40, 40, 1), (-1, 40, 40, 1)])
def test_what_a_card_tells_of_a_model_that_takes_only_tensors(shape: tuple[int, ...]) -> None:
    remote = describe("digits_xs_fp32", theirs(*shape), "w")
    assert remote.feed is not None
    assert not remote.feed.channels_first
    assert not remote.ranks
    assert remote.served.input.shape == (1, 40, 40, 1)
    assert remote.served.output.shape == (1, 10), "one picture at a time"
    runner = Runner("digits_xs_fp32")
    assert runner.card is not None
    assert runner.card.accuracy is not None
    assert remote.served.top1 == runner.card.accuracy.top1
    assert remote.served.labels == runner.labels.names


def test_channels_first() -> None:
    remote = describe("digits_xs_fp32", theirs(1, 1, 40, 40), "w")
    assert remote.feed is not None
    assert remote.feed.channels_first


def changed(path: str, value: Any, metadata: dict[str, Any]) -> dict[str, Any]:
    """A copy with the value at `path` (keys and indexes with dots between) put in place; None removes it."""
    metadata = copy.deepcopy(metadata)
    found: Any = metadata
    *way, last = [int(key) if key.isdigit() else key for key in path.split(".")]
    for key in way:
        found = found[key]
    if value is None:
        del found[last]
    else:
        found[last] = value
    return metadata


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("inputs", None),
        ("inputs", "x"),
        ("inputs", [1]),
        ("inputs", [{"name": 5}]),
        ("outputs", None),
        ("inputs.0", None),
        ("inputs.0.datatype", "FP16"),
        ("inputs.0.datatype", ["FP32"]),
        ("inputs.0.shape", None),
        ("inputs.0.shape", []),
        ("inputs.0.shape", [40, 40]),
        ("inputs.0.shape", [1, -1, -1, 1]),
        ("inputs.0.shape", [2, 40, 40, 1]),
        ("inputs.0.shape", [1, 40, 40, True]),
        ("inputs.0.shape", [1, 10**9, 10**9, 3]),
        ("inputs", [tensor("image", "BYTES", 1), tensor("a", "FP32", 1), tensor("b", "FP32", 1)]),
        ("outputs.0.shape", [1, 11]),
        ("outputs.0.shape", [2, 5]),
        ("parameters.labels", LABELS[:9]),
        ("parameters.labels", "abcdefghij"),
        ("parameters.labels", [1] * 10),
        ("parameters.labels", None),
        ("parameters.background", True),
        ("parameters.top1", "high"),
        ("parameters.top1", 80),
        ("parameters.top1", float("nan")),
        ("parameters.top1", True),
    ],
)
def test_metadata_of_what_cannot_be_served(path: str, value: Any) -> None:
    with pytest.raises((ModelError, ProtocolError)) as caught:
        describe("m", changed(path, value, ours()), "w")
    assert "\n" not in str(caught.value)


def test_without_a_card_it_is_left_out_and_told_what_to_do() -> None:
    with pytest.raises(ModelError, match="ondevice models add"):
        describe("unheard_of", theirs(1, 40, 40, 1), "w")


@pytest.mark.parametrize("shape", [(1, 32, 32, 1), (1, 40, 40, 3), (1, 40, 40, -1)])
def test_a_card_that_is_another_models(shape: tuple[int, ...]) -> None:
    with pytest.raises(ModelError, match="its input is"):
        describe("digits_xs_fp32", theirs(*shape), "w")


def test_a_model_without_batches() -> None:
    metadata = changed("outputs", [tensor("y", "FP32", 10)], theirs(40, 40, 1))
    remote = describe("digits_xs_fp32", metadata, "w")
    assert (remote.served.input.shape, remote.served.output.shape) == ((40, 40, 1), (10,))
    assert preparation(remote)["shape"] == (1, 40, 40, 1)
    (sent,) = asked(remote, work(bytes(6400), picture=False)).inputs
    assert sent.shape == (40, 40, 1)


def test_metadata_without_tensors_are_told_so() -> None:
    """KServe's server knows a model's tensors only where its author says them."""
    for key, kind in (("inputs", "input"), ("outputs", "output")):
        with pytest.raises(ModelError, match=f"tell no {kind}s: have its server say them .KServe's: get_{kind}_types"):
            describe("digits_xs_fp32", changed(key, [], theirs(1, 40, 40, 1)), "w")


def asked(remote: RemoteModel, wanted: Work) -> InferRequest:
    return decode_request(*remote.request(wanted, binary=True))


def test_the_request_for_a_picture() -> None:
    request = asked(describe("m", ours(), "w"), work(b"jpeg", top=3))
    assert [(t.name, t.datatype, t.shape, t.data) for t in request.inputs] == [("image", "BYTES", (1,), [b"jpeg"])]
    assert request.parameters == {"top": 3}
    assert [output.name for output in request.outputs] == ["label", "score", "index"]
    assert all(output.binary for output in request.outputs)


def test_the_request_for_a_picture_and_the_models_own_output() -> None:
    request = asked(describe("m", ours(), "w"), work(b"jpeg", raw=True))
    assert [output.name for output in request.outputs] == ["label", "score", "index", "y"]


def test_what_was_cut_off_a_picture_is_told_to_those_who_know_what_that_means() -> None:
    cut = work(b"jpeg")._replace(picture=PictureHead.read(b"jpeg", 0.875))
    ranking = describe("m", ours(), "w")
    assert asked(ranking, cut).parameters == {"top": 3, "cropped": 0.875}
    assert asked(ranking, cut._replace(top=0, raw=True)).parameters == {"cropped": 0.875}
    assert asked(replace(ranking, ranks=False), cut).parameters == {}


def test_the_request_for_a_tensor() -> None:
    request = asked(describe("m", ours(), "w"), work(bytes(range(100)) * 16, picture=False, top=0, raw=True))
    (sent,) = request.inputs
    assert (sent.name, sent.datatype, sent.shape) == ("x", "INT8", (1, 40, 40, 1))
    assert isinstance(sent.data, np.ndarray)
    assert sent.data.tobytes() == bytes(range(100)) * 16
    assert request.parameters == {}
    assert [output.name for output in request.outputs] == ["y"]


DUMPS = [arrays_json.dumps, partial(orjson.dumps, option=orjson.OPT_SERIALIZE_NUMPY)]


@pytest.mark.parametrize("dumps", DUMPS)
def test_a_request_of_what_every_server_must_take(dumps: ArrayDumps) -> None:
    values = np.linspace(-1, 1, 1600, dtype=np.float32)
    body, length = describe("digits_xs_fp32", theirs(-1, 40, 40, 1), "w").request(
        work(values.tobytes(), picture=False), binary=False, dumps=dumps
    )
    said = json.loads(body)
    (sent,) = said.pop("inputs")
    assert np.array_equal(np.array(sent.pop("data"), np.float32), values)
    assert sent == {"name": "x", "datatype": "FP32", "shape": [1, 40, 40, 1]}
    assert said == {"id": "ondevice", "outputs": [{"name": "y"}]}
    assert length is None


def test_a_tensor_that_json_cannot_hold_is_told_so() -> None:
    remote = describe("digits_xs_fp32", theirs(-1, 40, 40, 1), "w")
    spoiled = np.full(1600, np.nan, np.float32).tobytes()
    for dumps in DUMPS:
        with pytest.raises(ProtocolError, match="JSON has no NaN"):
            remote.request(work(spoiled, picture=False), binary=False, dumps=dumps)


def test_a_picture_in_json_is_base64_as_our_endpoint_takes_it() -> None:
    body, _ = describe("m", ours(), "w").request(work(b"\xff\xd8jpeg"), binary=False)
    assert json.loads(body)["inputs"][0]["data"] == [base64.b64encode(b"\xff\xd8jpeg").decode()]


def answer(**data: Any) -> InferResponse:
    return InferResponse("m", "1", None, {}, [Tensor.of(name, value) for name, value in data.items()])


RANKED = {
    "label": [b"class 7", b"class 2"],
    "score": np.array([0.9, 0.1], np.float32),
    "index": np.array([7, 2], np.int32),
}
OUTPUT = np.array([[-128, -128, 0, -128, -128, -128, -128, 127, -128, -128]], np.int8)


def test_a_ranking_is_taken_as_it_is() -> None:
    top, raw = describe("m", ours(), "w").read(answer(**RANKED), work(b""))
    assert top == [(7, pytest.approx(0.9)), (2, pytest.approx(0.1))]
    assert raw == b""


def test_a_ranking_with_the_models_own_output() -> None:
    top, raw = describe("m", ours(), "w").read(answer(**RANKED, y=OUTPUT), work(b"", raw=True))
    assert [index for index, _ in top] == [7, 2]
    assert raw == OUTPUT.tobytes()


def test_a_models_own_output_is_ranked_here() -> None:
    top, raw = describe("m", ours(), "w").read(answer(y=OUTPUT), work(b"", picture=False, top=2))
    assert top == [(7, pytest.approx(255 / 256)), (2, pytest.approx(128 / 256))]
    assert raw == b""


@pytest.mark.parametrize(
    "wrong",
    [
        {"label": None},
        {"label": [b"class 7"]},
        {"label": [b"class 8", b"class 2"]},
        {"label": np.zeros(2, np.float32)},
        {"score": None},
        {"score": np.array([0.9, np.nan], np.float32)},
        {"score": np.array([9, 1], np.int32)},
        {"score": [b"0.9", b"0.1"]},
        {"index": np.array([7, -1], np.int32)},
        {"index": np.array([7, 10], np.int32)},
        {"index": np.array([7.0, 2.0], np.float32)},
        {"label": [], "score": np.zeros(0, np.float32), "index": np.zeros(0, np.int32)},
        {"y": None},
        {"y": OUTPUT[:, :9]},
        {"y": OUTPUT.astype(np.float32)},
        {"y": [b"a"] * 10},
    ],
)
def test_responses_that_are_not_believed(wrong: dict[str, Any]) -> None:
    data = {name: value for name, value in {**RANKED, "y": OUTPUT, **wrong}.items() if value is not None}
    with pytest.raises(UpstreamError) as caught:
        describe("m", ours(), "w").read(answer(**data), work(b"", raw=True))
    assert caught.value.failure == "wrong"


def test_more_classes_than_were_asked_for_are_not_believed() -> None:
    with pytest.raises(UpstreamError):
        describe("m", ours(), "w").read(answer(**RANKED), work(b"", top=1))


def test_ranked_as_the_runner_ranks() -> None:
    for name in ("digits_xs_int8", "digits_xs_fp32"):
        runner = Runner(name)
        random = np.random.default_rng(0)
        for _ in range(20):
            stored = random.integers(-128, 128, 10).astype(runner.model.output.dtype)
            expected = [(p.index, pytest.approx(p.score)) for p in runner.best(stored, 4)]
            assert best(stored, False, 4) == expected


def test_equal_scores_stand_in_the_order_of_their_index() -> None:
    assert [index for index, _ in best(np.array([5, 9, 9, 5, 9], np.uint8), False, 5)] == [1, 2, 4, 0, 3]


def test_a_background_is_no_class() -> None:
    assert best(np.array([200, 0, 30], np.uint8), True, 5) == [(1, 30 / 256), (0, 0.0)]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers(value: float) -> None:
    with pytest.raises(UpstreamError, match="not a number"):
        best(np.array([0.1, value], np.float32), False, 1)


@pytest.mark.parametrize("value", [1e30, -1e30])
def test_scores_that_no_classifier_gives(value: float) -> None:
    with pytest.raises(UpstreamError, match=r"a score of -?1e\+30 is none that a classifier gives"):
        best(np.array([0.1, value, 0.2], np.float32), False, 1)


def test_what_a_worker_is_told_for_floats_is_what_the_card_says() -> None:
    told = preparation(describe("digits_xs_fp32", theirs(1, 40, 40, 1), "w"))
    assert (told["input"]["mean"], told["input"]["std"], told["zero_point"]) == ((127.5,), (127.5,), 0)


@pytest.mark.parametrize(("datatype", "zero"), [("UINT8", 0), ("INT8", -128)])
def test_what_a_worker_is_told_for_integers_is_to_store_pixels(datatype: str, zero: int) -> None:
    told = preparation(describe("digits_xs_fp32", theirs(1, 40, 40, 1, datatype=datatype), "w"))
    assert (told["input"]["mean"], told["input"]["std"], told["zero_point"]) == ([0.0], [1.0], zero)
