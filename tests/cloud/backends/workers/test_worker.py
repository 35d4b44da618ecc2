"""What a worker answers, asked in this process: which models it holds, and what is at fault where it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from centres import SEEN, looking_at_the_middle, surrounded
from faulty import copied, nonsense
from serving import PICTURE

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.worker import Worker
from ondevice.models import files
from ondevice.runner import Runner
from ondevice.runtime import Model

MODEL = "digits_m_int8"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return copied(tmp_path, MODEL)


@pytest.fixture
def worker() -> Worker:
    return Worker(1, None, {})


def asked(
    worker: Worker, operation: str, model: object, payload: bytes = PICTURE, top: int = 3, cropped: float = 1.0
) -> Message:
    message = {"op": operation, "model": str(model), "top": top, "raw": False, "runs": 1, "cropped": cropped}
    return worker.answer(message, payload)[0]


def test_a_ping_is_answered_with_nothing(worker: Worker) -> None:
    assert worker.answer({"op": "ping"}, b"") == ({}, b"")


@pytest.mark.parametrize("operation", ["load", "image", "check", "measure", "describe"])
def test_a_model_that_cannot_be_loaded_is_told_as_that(operation: str, worker: Worker, path: Path) -> None:
    path.unlink()
    assert asked(worker, operation, path)["kind"] == "load"


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error")])
def test_a_model_that_cannot_be_read_is_told_as_that(
    error: Exception, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(files, "sha256", fails)
    assert asked(worker, "load", MODEL)["kind"] == "load"


def test_the_file_is_looked_at_again_where_it_has_changed_since(worker: Worker, path: Path) -> None:
    assert "error" not in asked(worker, "load", path)
    asked(worker, "unload", path)
    content = path.read_bytes()
    path.write_bytes(copied(path.parent, "digits_s_int8").read_bytes())
    assert "is not the file that it was" in asked(worker, "image", path)["error"]
    path.write_bytes(content)
    assert asked(worker, "image", path)["top"][0][0] == 7


def test_a_new_worker_takes_no_other_file_than_the_one_that_is_known(path: Path) -> None:
    assert asked(Worker(1, None, {str(path): "0" * 64}), "load", path)["kind"] == "load"
    known = {str(path): files.sha256(path)}
    assert "error" not in asked(Worker(1, None, known), "load", path)


def test_a_check_leaves_what_it_found(worker: Worker, path: Path) -> None:
    assert asked(worker, "check", path)["load_ms"] > 0
    assert asked(worker, "load", path)["load_ms"] > 0  # it did not stay
    assert asked(worker, "check", path) == {}
    assert asked(worker, "load", path) == {}  # it stayed


def test_scores_that_are_not_numbers_are_the_models_fault_in_an_answer_and_in_a_check(
    worker: Worker, tmp_path: Path
) -> None:
    path = nonsense(tmp_path)
    for operation in ("image", "check"):
        told = asked(worker, operation, path)
        assert (told["kind"], told["error"]) == ("fault", "nonsense: its scores are not numbers (NaN or infinite)")
    tensor = np.zeros((1, 48, 48, 1), np.float32).tobytes()
    assert asked(worker, "tensor", path, tensor, top=0)["top"] == []  # who wants the numbers has them as they are


def test_infinite_scores_are_not_numbers_either(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(worker, "load", MODEL)
    monkeypatch.setattr(Model, "invoke", lambda self, tensor: np.array([0, np.inf] * 5, np.float32))
    assert asked(worker, "image", MODEL)["kind"] == "fault"


@pytest.mark.parametrize(
    ("error", "kind"), [(MemoryError(), "memory"), (ValueError("broken"), "image"), (OSError("broken"), "image")]
)
def test_memory_that_is_short_is_not_called_a_bad_picture(
    error: Exception, kind: str, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise error

    asked(worker, "load", MODEL)
    monkeypatch.setattr("PIL.Image.open", fails)
    assert asked(worker, "image", MODEL)["kind"] == kind


def test_memory_that_is_short_after_decoding_is_told_as_that(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise MemoryError

    asked(worker, "load", MODEL)
    monkeypatch.setattr(Runner, "prepare", fails)
    assert asked(worker, "image", MODEL)["kind"] == "memory"


def test_of_a_centre_a_model_sees_what_it_sees_of_the_whole_picture(worker: Worker, tmp_path: Path) -> None:
    path = looking_at_the_middle(tmp_path, MODEL)
    (digit, score), *_ = asked(worker, "image", path, surrounded())["top"]
    assert (digit, score > 0.9) == (7, True)
    assert asked(worker, "image", path, surrounded(0.75), cropped=0.75)["top"][0] == pytest.approx((7, score), abs=0.01)
    assert asked(worker, "image", path, surrounded(0.75))["top"][0] != pytest.approx((7, score), abs=0.01)


def test_of_a_centre_the_same_tensor_is_made_for_another_server(worker: Worker) -> None:
    wanted = {"height": 48, "width": 48, "channels": 1, "crop": SEEN, "bgr": False, "mean": [0.0], "std": [1.0]}
    message = {"op": "prepare", "model": "m", "input": wanted, "shape": (1, 48, 48, 1), "dtype": "float32"}
    message |= {"zero_point": 0, "channels_first": False}
    whole, centre, cut_again = (
        np.frombuffer(worker.answer({**message, "cropped": cropped}, picture)[1], np.float32)
        for picture, cropped in ((surrounded(), 1.0), (surrounded(0.75), 0.75), (surrounded(0.75), 1.0))
    )
    assert np.abs(centre - whole).max() <= 1
    assert np.abs(cut_again - whole).max() > 50
