"""A picture as programs send it by themselves: under any Content-Type, in a form, raw, or in any base64."""

from __future__ import annotations

import base64
import io
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import requests
from PIL import Image

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, PICTURE, Endpoint, sentence

from ondevice.protocol.response import decode_response

INFER, MODEL = "/v2/models/cnnselect/infer", FAMILY[2]
LENGTH = "Inference-Header-Content-Length"


def jpeg() -> bytes:
    file = io.BytesIO()
    Image.open(io.BytesIO(PICTURE)).convert("RGB").save(file, "JPEG", quality=95)
    return file.getvalue()


def seven(reply: requests.Response) -> bool:
    assert reply.status_code == 200, reply.text
    return bool(reply.json()["outputs"][2]["data"][0] == 7)


@pytest.mark.parametrize(
    "kind",
    ["application/x-www-form-urlencoded", "application/octet-stream", "image/jpg", "IMAGE/JPEG", "text/plain", None],
)
@pytest.mark.parametrize("model", ["cnnselect", MODEL])
def test_a_picture_is_one_whatever_its_type(endpoint: Endpoint, kind: str | None, model: str) -> None:
    for picture in (PICTURE, jpeg()):
        reply = endpoint.ask(
            "POST", f"/v2/models/{model}/infer?top=2", data=picture, headers={"Content-Type": kind} if kind else {}
        )
        assert seven(reply)
        assert reply.json()["outputs"][0]["shape"] == [2]


def test_a_form_of_one_picture(endpoint: Endpoint) -> None:
    assert seven(endpoint.ask("POST", f"{INFER}?sla_ms=5000", files={"image": ("photo.jpg", jpeg(), "image/jpeg")}))
    several = endpoint.ask("POST", INFER, files={"image": PICTURE}, data={"sla_ms": "50"})
    assert several.status_code == 400
    assert "what else there is to say goes into the query" in sentence(several)


@pytest.mark.parametrize(
    "flags", [["--data-binary", "@-"], ["--data-binary", "@-", "-H", "Content-Type:"], ["-F", "x=@-"]]
)
def test_curl_without_another_flag(endpoint: Endpoint, flags: list[str], tmp_path: Path) -> None:
    curl = shutil.which("curl")
    if not curl:
        pytest.skip("no curl here")
    done = subprocess.run([curl, "-s", *flags, endpoint.url + INFER], input=jpeg(), capture_output=True, timeout=60)
    assert json.loads(done.stdout)["outputs"][2]["data"][0] == 7


def test_what_curl_makes_of_a_picture_with_its_d_flag_is_explained(endpoint: Endpoint) -> None:
    lost = jpeg().translate(None, b"\r\n\0")
    reply = endpoint.ask("POST", INFER, data=lost, headers={"Content-Type": "application/x-www-form-urlencoded"})
    assert reply.status_code == 400
    assert "with curl, send it by --data-binary instead of -d" in sentence(reply)


def test_what_is_nothing_of_this_is_told_what_to_send(endpoint: Endpoint) -> None:
    reply = endpoint.ask("POST", INFER, data=base64.b64encode(PICTURE), headers={"Content-Type": "text/plain"})
    assert reply.status_code == 400
    assert "neither JSON nor a picture (JPEG, PNG, WebP, GIF, BMP, TIFF): send the file as it is" in sentence(reply)


@pytest.mark.parametrize(
    "text",
    [
        base64.encodebytes(PICTURE).decode(),
        base64.encodebytes(PICTURE).decode().replace("\n", "\r\n"),
        base64.urlsafe_b64encode(PICTURE).decode(),
        base64.urlsafe_b64encode(PICTURE).decode().rstrip("="),
        "data:image/png;base64," + base64.b64encode(PICTURE).decode(),
    ],
    ids=["line breaks", "MIME", "URL-safe", "without padding", "data URI"],
)
def test_any_base64(endpoint: Endpoint, text: str) -> None:
    body = {"inputs": [{"name": "image", "datatype": "BYTES", "shape": [1], "data": [text]}]}
    assert seven(endpoint.ask("POST", INFER, json=body))


# Triton's raw binary requests


def raw(endpoint: Endpoint, model: str, body: bytes) -> requests.Response:
    kind = {"Content-Type": "application/octet-stream", LENGTH: "0"}
    return endpoint.ask("POST", f"/v2/models/{model}/infer", data=body, headers=kind)


@pytest.mark.parametrize("model", ["cnnselect", MODEL])
def test_a_raw_picture(endpoint: Endpoint, model: str) -> None:
    reply = raw(endpoint, model, PICTURE)
    assert reply.headers["Content-Type"] == "application/octet-stream"
    answer = decode_response(reply.content, int(reply.headers[LENGTH]))
    assert [(output.name, output.binary) for output in answer.outputs] == [
        ("label", True),
        ("score", True),
        ("index", True),
    ]
    assert answer.outputs[2].data[0] == 7


def test_a_raw_tensor(endpoint: Endpoint) -> None:
    pixels = np.asarray(Image.open(io.BytesIO(PICTURE)).convert("L").resize((48, 48)))
    stored = (pixels.astype(np.int16) - 128).astype(np.int8)
    reply = raw(endpoint, MODEL, stored.tobytes())
    assert reply.status_code == 200, reply.content
    (output,) = decode_response(reply.content, int(reply.headers[LENGTH])).outputs
    assert (output.datatype, output.shape, output.binary) == ("INT8", (1, 10), True)
    cut = raw(endpoint, MODEL, stored.tobytes()[:-1])
    assert cut.status_code == 400
    assert "the body has 2303 bytes: send " in sentence(cut)
