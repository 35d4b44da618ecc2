"""An endpoint whose models are taken away, broken or unloaded, and whose workers are killed."""

from __future__ import annotations

import io
import os
import resource
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from faulty import copied, nonsense
from serving import FAMILY, Endpoint, sentence, until

SMALL, LARGE = FAMILY[0], FAMILY[3]
READY = "/v2/health/ready"
# So far ahead that the most accurate model is always in time.
FAR_MS = 5000

needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds the workers in /proc")


def ready(running: Endpoint, model: str | None = None) -> int:
    return running.ask("GET", f"/v2/models/{model}/ready" if model else READY).status_code


def index(running: Endpoint) -> dict[str, str]:
    return {row["name"]: row["state"] for row in running.ask("POST", "/v2/repository/index").json()}


def answered_by(running: Endpoint, times: int) -> Counter[Any]:
    """How many of so many requests each model has answered; what failed, by its status."""
    replies = [running.classify(sla_ms=FAR_MS) for _ in range(times)]
    return Counter(r.json()["parameters"]["selected_model"] if r.ok else r.status_code for r in replies)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


@needs_proc
@pytest.mark.parametrize("killed", [1, 2], ids=["one worker", "both workers"])
@pytest.mark.parametrize("damage", [Path.unlink, truncate], ids=["removed", "truncated"])
def test_what_a_new_worker_cannot_load_is_answered_by_another_model_until_it_is_back(
    damage: Callable[[Path], None], killed: int, tmp_path: Path
) -> None:
    large = copied(tmp_path, LARGE)
    with Endpoint(tmp_path, "--models", f"{copied(tmp_path, SMALL)},{large}") as running:
        assert answered_by(running, 3) == {LARGE: 3}
        content = large.read_bytes()
        damage(large)
        for pid in running.workers[:killed]:
            os.kill(pid, signal.SIGKILL)
        meanwhile: Counter[Any] = Counter()
        until(lambda: meanwhile.update(answered_by(running, 1)) or running.log("model failing"))
        assert killed == 2 or set(meanwhile) <= {SMALL, LARGE}, "the worker that lives goes on with what it has"
        until(lambda: ready(running) == 200)
        assert answered_by(running, 30)[SMALL] >= 28
        assert (ready(running), ready(running, "cnnselect"), ready(running, SMALL)) == (200, 200, 200)
        assert ready(running, LARGE) == 503
        assert index(running)[LARGE] in ("UNAVAILABLE", "LOADING")
        (failing,) = running.log("model failing")
        assert failing["model"] == LARGE
        assert "cannot be run now" in sentence(running.classify(LARGE))
        large.write_bytes(content)
        until(lambda: ready(running, LARGE) == 200)
        until(lambda: answered_by(running, 1) == {LARGE: 1})
        assert running.log("internal error") == []


@needs_proc
def test_no_other_file_is_served_in_a_models_place(tmp_path: Path) -> None:
    large = copied(tmp_path, LARGE)
    with Endpoint(tmp_path, "--models", f"{copied(tmp_path, SMALL)},{large}") as running:
        large.write_bytes(copied(tmp_path, FAMILY[1]).read_bytes())
        for pid in running.workers:
            os.kill(pid, signal.SIGKILL)
        until(lambda: running.log("model failing") and ready(running) == 200)
        assert answered_by(running, 5) == {SMALL: 5}
        assert "is not the file that it was" in running.log("model failing")[0]["error"]


def test_ready_is_no_where_all_models_are_unloaded(tmp_path: Path) -> None:
    with Endpoint(tmp_path, "--models", f"{SMALL},{LARGE}") as running:
        for model in (SMALL, LARGE):
            assert (ready(running), ready(running, "cnnselect"), index(running)["cnnselect"]) == (200, 200, "READY")
            running.ask("POST", f"/v2/repository/models/{model}/unload")
        assert (ready(running), ready(running, "cnnselect")) == (503, 503)
        assert index(running) == dict.fromkeys(("cnnselect", SMALL, LARGE), "UNAVAILABLE")
        assert running.classify().status_code == 503
        assert "is not loaded" in sentence(running.classify(LARGE))
        assert running.ask("POST", f"/v2/repository/models/{SMALL}/load").status_code == 200
        assert (ready(running), ready(running, "cnnselect")) == (200, 200)
        assert answered_by(running, 3) == {SMALL: 3}


def test_scores_that_are_not_numbers_are_the_models_fault(tmp_path: Path) -> None:
    with Endpoint(tmp_path, "--models", f"{SMALL},{nonsense(tmp_path)}") as running:
        reply = running.classify("nonsense")
        assert (reply.status_code, "retry-after" in reply.headers) == (500, False)
        assert sentence(reply).startswith("nonsense is faulty, it gave no valid scores")
        assert answered_by(running, 10) == {SMALL: 10}
        assert ready(running, "nonsense") == 503
        assert [line["model"] for line in running.log("model failing")] == ["nonsense"]
        assert sentence(running.classify("nonsense")).startswith("nonsense cannot be run now")
        assert ready(running) == 200


@needs_proc
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_memory_that_is_short_is_not_the_pictures_fault(kind: str, tmp_path: Path) -> None:
    with Endpoint(tmp_path, "--models", SMALL) as running:
        file = io.BytesIO()
        Image.new("RGB", (7000, 7000), (9, 99, 200)).save(file, kind, lossless=True)
        for pid in running.workers:
            taken = int(Path(f"/proc/{pid}/statm").read_text().split()[0]) * resource.getpagesize()
            resource.prlimit(pid, resource.RLIMIT_AS, (taken + (60 << 20), -1))
        reply = running.classify(picture=file.getvalue(), sla_ms=60_000)
        assert (reply.status_code, reply.headers.get("retry-after")) == (503, "1")
        assert sentence(reply).startswith("there is not enough memory to decode this picture now")
        assert running.classify().status_code == 200
        assert running.log("worker died") == []
