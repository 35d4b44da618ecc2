"""What a replica of `ondevice serve --ray` learned, the next one begins with: by real processes, and no file."""

from __future__ import annotations

import io
import os
import signal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")
pytest.importorskip("ray", reason="needs the extra: pip install 'ondevice-cnn[ray]'")

import requests
from PIL import Image
from ray_serving import RayEndpoint
from serving import FAMILY, until

# Requests of a test at each replica; its flags.
ASKED = 20
FLAGS = ("--ray", "--replicas", 2, "--workers", 1, "--models", ",".join(FAMILY))


def plain() -> bytes:
    """A picture that decodes in a small part of the time that its size lets one expect, who has not seen such ones."""
    file = io.BytesIO()
    Image.new("L", (3400, 3400), 200).save(file, "PNG")
    return file.getvalue()


def ask(url: str, picture: bytes, sla_ms: float) -> tuple[int, Any]:
    """The status, and the parameters of the reply."""
    asked = {"sla_ms": sla_ms, "upload_ms": 0, "return_ms": 0}
    headers = {"Content-Type": "image/png"}
    reply = requests.post(f"{url}/v2/models/cnnselect/infer", picture, params=asked, headers=headers, timeout=60)
    return reply.status_code, reply.json().get("parameters", {})


def chosen(url: str, picture: bytes, sla_ms: float) -> list[Any]:
    """What becomes of so many requests there: each one's model, or that it was refused."""
    replies = [ask(url, picture, sla_ms) for _ in range(ASKED)]
    return [said["selected_model"] if status == 200 else status for status, said in replies]


def without_files(home: Path) -> None:
    """As on another machine: no replica finds, or keeps, a file of what was learned."""
    for path in home.rglob("profiles"):
        path.rename(home / "moved")
        path.write_text("not a folder")


def test_a_third_replica_chooses_as_the_first_two_do(tmp_path: Path) -> None:
    """As it starts it could not measure what such pictures take; and an actor that dies takes nothing along."""
    picture = plain()
    with RayEndpoint(tmp_path, *FLAGS) as running:
        first = running.replicas_but(2)
        replies = [ask(url, picture, 60_000) for url in first.values() for _ in range(ASKED)]
        usual_ms = sorted(said["decode_ms"] + said["infer_ms"] for _, said in replies)[len(replies) // 2]
        (actor,) = until(lambda: running.named("SharedTexts"))
        without_files(tmp_path)
        os.kill(actor, signal.SIGKILL)
        until(lambda: set(running.named("SharedTexts")) - {actor})
        before = [chosen(url, picture, 2 * usual_ms) for url in first.values()]
        os.kill(min(first), signal.SIGKILL)
        (third,) = running.replicas_but(1, gone=first).values()
        after = chosen(third, picture, 2 * usual_ms)
        assert running.log("replicas not told") == running.log("replicas not asked") == []
    assert before == [[FAMILY[-1]] * ASKED] * 2
    assert after == before[0]
