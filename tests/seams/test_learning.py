"""What a running endpoint has learned harms nobody for good: not by what one client sends, not by what is on disk."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from huge import huge
from metrics import samples
from oip_server import Server, running
from serving import FAMILY, Endpoint, known_to_take, until

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.backends.upstream.send_turns import MAX_INFERENCES

FAST, GOOD = "mobilenet_v1_0.25_128_quant", "mobilenet_v2_1.0_224_quant"
# The first requests may find the machine busy with those before.
_WARM, _COUNTED = 150, 50
# More at once than may be asked of another server, and for how long that keeps the first.
_MORE, _HELD_S = 32, 2.0


def chosen(running: Endpoint, photos: list[bytes]) -> list[Any]:
    """The models for these photos, one after the other, with a deadline that the better one keeps easily."""
    replies = [running.classify(picture=photo, sla_ms=100) for photo in photos]
    return [reply.json().get("parameters", {}).get("selected_model") for reply in replies]


def test_four_huge_pictures_do_not_exile_the_better_model_and_a_restart_does_not_either(
    data: Path, tmp_path: Path
) -> None:
    models = tmp_path / "cache" / "models"
    models.mkdir(parents=True)
    for name in (FAST, GOOD):
        shutil.copy(data / "tflite" / f"{name}.tflite", models)
    photos = [path.read_bytes() for path in sorted((data / "imagenet").glob("*.JPEG"))[: _WARM + _COUNTED]]
    with Endpoint(tmp_path, "--models", f"{FAST},{GOOD}") as running:
        for _ in range(4):
            assert running.classify(picture=huge(), sla_ms=60_000).status_code == 200
        assert chosen(running, photos)[_WARM:].count(GOOD) >= 45
    with Endpoint(tmp_path, "--models", f"{FAST},{GOOD}") as again:
        assert chosen(again, photos)[_WARM:].count(GOOD) >= 45


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
        until(lambda: len(endpoint.log("chosen again")) == 3)  # the log is written beside the answers
        expected = endpoint.ask("POST", "/v2/models/cnnselect/select", json={"upload_ms": 0, "return_ms": 0}).json()
        over.set()
        assert expected["selected_model"] == FAMILY[0]
        assert expected["expected_ms"]["mean"] < 50, "each was held up for a second"


def test_the_wait_for_a_turn_to_ask_another_server_is_not_taken_for_its_inference(tmp_path: Path) -> None:
    server, over = Server(FAMILY[3]), threading.Event()
    replies: list[dict[str, Any]] = []

    async def slow(response: web.Response) -> web.Response:
        await asyncio.sleep(0.25)  # so that it is not late before 20 times as much
        return response

    async def held(response: web.Response) -> web.Response:
        while not over.is_set():
            await asyncio.sleep(0.02)
        return response

    server.spoil[FAMILY[3]] = slow
    with running(server) as url, Endpoint(tmp_path, "--models", FAMILY[0], "--upstream", url) as endpoint:

        def ask() -> None:
            replies.append(endpoint.classify(FAMILY[3], sla_ms=60_000).json()["parameters"])

        def waiting() -> float:
            found = samples(endpoint.ask("GET", "/metrics").text)
            return sum(value for (name, _), value in found.items() if name == "ondevice_waiting")

        server.spoil[FAMILY[3]] = held
        threads = [threading.Thread(target=ask) for _ in range(MAX_INFERENCES + _MORE)]
        for thread in threads:
            thread.start()
        until(lambda: waiting() == len(threads))
        time.sleep(_HELD_S)
        over.set()
        for thread in threads:
            thread.join()
    waited = [reply for reply in replies if reply["queue_ms"] >= 1e3 * _HELD_S]
    assert len(waited) == _MORE
    assert all(reply["infer_ms"] < 1e3 * _HELD_S for reply in waited)
