"""What a running endpoint has learned harms nobody for good: not by what one client sends, not by what is on disk."""

from __future__ import annotations

import asyncio
import io
import json
import shutil
import threading
from pathlib import Path

import pytest
from aiohttp import web
from oip_server import Server, running
from serving import FAMILY, Endpoint, known_to_take, until

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

FAST, GOOD = "mobilenet_v1_0.25_128_quant", "mobilenet_v2_1.0_224_quant"
# The first requests may find the machine busy with those before.
_WARM, _COUNTED = 150, 50


def huge() -> bytes:
    """A valid picture of 49 megapixels in some 87 kB, as WebP can have it."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (7000, 7000), (90, 120, 150)).save(file, "WEBP", method=0)
    return file.getvalue()


def test_four_huge_pictures_do_not_exile_the_better_model(data: Path, tmp_path: Path) -> None:
    models = tmp_path / "cache" / "models"
    models.mkdir(parents=True)
    for name in (FAST, GOOD):
        shutil.copy(data / "tflite" / f"{name}.tflite", models)
    photos = [path.read_bytes() for path in sorted((data / "imagenet").glob("*.JPEG"))[: _WARM + _COUNTED]]
    picture = huge()
    assert len(picture) < 200_000
    with Endpoint(tmp_path, "--models", f"{FAST},{GOOD}") as running:
        for _ in range(4):
            assert running.classify(picture=picture, sla_ms=60_000).status_code == 200
        replies = [running.classify(picture=photo, sla_ms=100) for photo in photos]
        chosen = [reply.json().get("parameters", {}).get("selected_model") for reply in replies[_WARM:]]
    assert chosen.count(GOOD) >= 45


def test_saved_times_are_not_believed_against_a_measurement(endpoint: Endpoint, tmp_path: Path) -> None:
    told = known_to_take(endpoint, tmp_path, *(1e6 * ms for ms in (0.1, 0.2, 0.5, 1.0)))
    with Endpoint(tmp_path, "--profiles", told) as running:
        (line,) = running.log("profiles dropped")
        assert line["models"] == sorted(FAMILY)
        profiles = running.get("/v2/models/cnnselect")["parameters"]["profiles"]
        assert all(profile["quantiles_ms"][10] < 10_000 for profile in profiles)
        assert running.classify(sla_ms=20_000).json()["parameters"]["selected_model"] == FAMILY[3]

        def saved() -> bool:
            return all(row["quantiles_ms"][10] < 10_000 for row in json.loads(told.read_text())["profiles"])

        until(saved)


def test_another_server_that_stalls_is_not_charged_to_this_machine(tmp_path: Path) -> None:
    server, over = Server(FAMILY[3]), threading.Event()

    async def stalled(response: web.Response) -> web.Response:
        while not over.is_set():
            await asyncio.sleep(0.02)
        return response

    with running(server) as url, Endpoint(tmp_path, "--models", FAMILY[0], "--upstream", url) as endpoint:
        server.spoil[FAMILY[3]] = stalled
        for _ in range(3):
            assert endpoint.classify(sla_ms=60_000).json()["parameters"]["selected_model"] == FAMILY[0]
        assert len(endpoint.log("chosen again")) == 3
        expected = endpoint.ask("POST", "/v2/models/cnnselect/select", json={"upload_ms": 0, "return_ms": 0}).json()
        over.set()
        assert expected["selected_model"] == FAMILY[0]
        assert expected["expected_ms"]["mean"] < 50, "each was held up for a second"
