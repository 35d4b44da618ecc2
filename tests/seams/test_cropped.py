"""A centre that its sender has cut out is answered as the whole picture is, whichever way it comes and wherever it is
answered; models are chosen by what was sent.
"""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from centres import KEPT, SEEN, looking_at_the_middle, surrounded
from oip_server import Server, running
from PIL import Image
from serving import Endpoint, image_input, until

from ondevice.cloud.app.large_pictures import is_large
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.request import encode_request
from ondevice.protocol.tensor import Tensor
from ondevice.runner import Runner

MODEL = "digits_m_int8"
TOP1 = 0.9143
CROPPED = 0.75
WHOLE, CENTRE = surrounded(), surrounded(CROPPED)


class Places(NamedTuple):
    """Where the model runs: at the endpoint asked, at another one behind it, at a server that takes tensors alone."""

    here: Endpoint
    chain: Endpoint
    decoding: Endpoint


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Places]:
    path = looking_at_the_middle(tmp_path_factory.mktemp("model"), MODEL)
    homes = [tmp_path_factory.mktemp(name) for name in Places._fields]
    plain = Server(pictures=False)
    plain.runners["middle"] = Runner(path)
    add = [sys.executable, "-m", "ondevice", "models", "add", path, "--name", "middle", "--crop", SEEN]
    more = ["--labels", "digits", "--top1", TOP1, "--accuracy-data", "drawings"]
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        here = stack.enter_context(Endpoint(homes[0], "--models", path))
        chain = stack.enter_context(Endpoint(homes[1], "--upstream", here.url))
        patch.setenv("ONDEVICE_HOME", str(homes[2]))
        subprocess.run([*map(str, add + more)], check=True, capture_output=True)
        url = stack.enter_context(running(plain))
        yield Places(here, chain, stack.enter_context(Endpoint(homes[2], "--upstream", url)))


Way = Callable[[Endpoint, str, bytes, dict[str, Any]], Any]


def as_the_body(endpoint: Endpoint, model: str, picture: bytes, asked: dict[str, Any]) -> Any:
    return endpoint.classify(model, picture, **asked)


def in_json(endpoint: Endpoint, model: str, picture: bytes, asked: dict[str, Any]) -> Any:
    said = {"inputs": [image_input(picture)], "parameters": asked}
    return endpoint.ask("POST", f"/v2/models/{model}/infer", json=said)


def in_binary(endpoint: Endpoint, model: str, picture: bytes, asked: dict[str, Any]) -> Any:
    """A picture in the binary extension; the answer is in JSON."""
    body, length = encode_request([Tensor.of("image", [picture])], parameters=asked, binary=True)
    said = json.loads(body[:length])
    said["parameters"].pop("binary_data_output", None)
    head = json.dumps(said).encode()
    headers = {"Inference-Header-Content-Length": str(len(head))}
    return endpoint.ask("POST", f"/v2/models/{model}/infer", data=head + body[length:], headers=headers)


def answer(reply: Any) -> tuple[int, float]:
    return next(iter(scores(reply).items()))


def scores(reply: Any) -> dict[int, float]:
    """By class, best first."""
    assert reply.status_code == 200, reply.text
    said = {output["name"]: output["data"] for output in reply.json()["outputs"]}
    return dict(zip(said["index"], said["score"], strict=True))


@pytest.mark.parametrize("place", Places._fields)
@pytest.mark.parametrize("way", [as_the_body, in_json, in_binary])
@pytest.mark.parametrize("named", [True, False])
def test_a_centre_is_answered_as_the_whole_picture_is(places: Places, place: str, way: Way, named: bool) -> None:
    endpoint = getattr(places, place)
    model = {"decoding": "middle"}.get(place, MODEL) if named else "cnnselect"
    digit, score = answer(way(endpoint, model, WHOLE, {}))
    assert (digit, score > 0.9) == (7, True)
    assert answer(way(endpoint, model, CENTRE, {"cropped": CROPPED})) == pytest.approx((7, score), abs=0.01)
    assert answer(way(endpoint, model, CENTRE, {})) != pytest.approx((7, score), abs=0.01)


def test_so_is_one_that_is_large_to_decode(places: Places) -> None:
    whole = Image.open(io.BytesIO(WHOLE)).convert("RGB").resize((4096, 4096), Image.Resampling.BILINEAR)
    edge = round((1 - CROPPED) / 2 * whole.width)
    cut = whole.crop((edge, edge, whole.width - edge, whole.width - edge))
    pictures = []
    for one in (whole, cut.resize(whole.size, Image.Resampling.BILINEAR)):
        file = io.BytesIO()
        one.save(file, "JPEG", progressive=True)
        pictures.append(file.getvalue())
        assert is_large(PictureHead.read(file.getvalue()))
    digit, score = answer(places.here.classify(picture=pictures[0], sla_ms=20_000))
    assert digit == 7
    seen = answer(places.here.classify(picture=pictures[1], sla_ms=20_000, cropped=CROPPED))
    assert seen == pytest.approx((7, score), abs=0.05)


@pytest.mark.parametrize("place", Places._fields)
def test_what_can_be_sent_is_published_and_chosen_by(places: Places, place: str) -> None:
    endpoint, model = getattr(places, place), "middle" if place == "decoding" else MODEL
    offered = endpoint.get("/v2/models/cnnselect")["parameters"]["uploads"]
    measured = place != "decoding"
    assert (offered["crop"], offered["measured"]) == (SEEN, [model] * measured)
    if measured:
        assert dict(zip(offered["rungs"], offered["kept"][model], strict=True)) == KEPT
    for text, kept in zip(offered["rungs"], offered["kept"][model], strict=True):
        asked = {"upload": text, "cropped": CROPPED}
        said = endpoint.ask("POST", "/v2/models/cnnselect/select", json=asked).json()
        assert said["expected_top1"] == pytest.approx(TOP1 * kept, abs=1e-3)
        for name in ("cnnselect", model):
            reply = endpoint.classify(name, CENTRE, **asked).json()["parameters"]
            assert reply["expected_top1"] == said["expected_top1"]
    assert endpoint.classify(picture=WHOLE).json()["parameters"]["expected_top1"] == TOP1
    logged = until(lambda: [line for line in endpoint.log("request") if line.get("upload") == offered["rungs"][-1]])
    assert logged[0]["path"].startswith("/v2/models/cnnselect/")
    assert any("upload" not in line for line in endpoint.log("request"))


def test_of_the_whole_picture_nothing_changes(places: Places) -> None:
    """Whoever says that nothing was cut off is answered as who says nothing."""
    for model in ("cnnselect", MODEL):
        plain, said = (places.here.classify(model, WHOLE, **asked).json() for asked in ({}, {"cropped": 1}))
        assert plain["outputs"] == said["outputs"]
        assert plain["parameters"].keys() == said["parameters"].keys()


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"upload": "large"}, "upload: 'large' is not an upload: give SIDE,QUALITY, such as 192,40"),
        ({"cropped": 0}, "cropped must be a number from 0.01 to 1"),
        ({"cropped": "most"}, "cropped must be a number, not 'most'"),
    ],
)
def test_what_cannot_be_meant_is_told(places: Places, asked: dict[str, Any], told: str) -> None:
    reply = places.here.classify(picture=CENTRE, **asked)
    assert (reply.status_code, reply.json()["error"][: len(told)]) == (400, told)


def test_a_photo_cut_out_by_its_sender_is_answered_as_the_photo(data: Path, tmp_path: Path) -> None:
    photos = sorted((data / "imagenet").glob("*.JPEG"))[:10]
    models = [data / "tflite" / f"mobilenet_{name}_quant.tflite" for name in ("v1_0.5_160", "v2_1.0_224")]
    with Endpoint(tmp_path, "--models", ",".join(map(str, models))) as endpoint:
        assert endpoint.get("/v2/models/cnnselect")["parameters"]["uploads"]["crop"] == 0.875
        for model in ("cnnselect", "mobilenet_v1_0.5_160_quant"):
            for photo in photos:
                whole, centre = whole_and_centre(photo)
                index, score = answer(endpoint.classify(model, whole, sla_ms=20_000))
                cut = scores(endpoint.classify(model, centre, sla_ms=20_000, cropped=0.875))
                assert cut.get(index, 0.0) == pytest.approx(score, abs=0.1)


def whole_and_centre(photo: Path) -> tuple[bytes, bytes]:
    """As PNGs, of such sides that the middle 0.875 lies on whole pixels."""
    image = Image.open(photo).convert("RGB")
    width, height = (length - length % 16 for length in image.size)
    side = min(width, height) * 7 // 8
    left, top = (width - side) // 2, (height - side) // 2
    return png(image.crop((0, 0, width, height))), png(image.crop((left, top, left + side, top + side)))


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
