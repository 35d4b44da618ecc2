"""Files that are not image classifiers are measured as benchmark_model does: random input of their own shapes."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import no_classifiers
import pytest
from tflite import colours

from ondevice.bench import table
from ondevice.bench.measure import measure
from ondevice.bench.record import BenchRecord
from ondevice.bench.runs import sizes
from ondevice.bench.spec import Spec
from ondevice.bench.subject import AnyFile, load
from ondevice.errors import BenchError, EmulationError, NotClassifierError, UsageError
from ondevice.models.overrides import Overrides
from ondevice.runner import Resolved

pytestmark = pytest.mark.usefixtures("tried")


def quick(path: Path, **changes: Any) -> Spec:
    return Spec(**{"model": str(path), "warmup": 1, "runs": 3, "min_secs": 0.0, **changes})


def measured(path: Path, **changes: Any) -> tuple[BenchRecord, list[str]]:
    notes: list[str] = []

    def found(subject: Resolved | AnyFile) -> None:
        notes.extend(subject.notes if isinstance(subject, AnyFile) else ())

    return measure(quick(path, **changes), on_note=notes.append, on_found=found), notes


@pytest.mark.parametrize(
    ("make", "given", "precision"),
    [
        (no_classifiers.detector, "image [1, 32, 32, 3] float32", "fp32"),
        (no_classifiers.audio, "sound [1, 1600] float32", "fp32"),
        (no_classifiers.lstm, "steps [1, 12, 8] float32", "fp32"),
        (no_classifiers.sums, "a [1, 6] float32, b [1, 6] float32", "fp32"),
        (no_classifiers.words, "words [1, 16] int32", "fp32"),
    ],
)
def test_a_record_as_of_any_other_model(
    make: Callable[[Path], Path], given: str, precision: str, tmp_path: Path
) -> None:
    record, notes = measured(make(tmp_path / "any.tflite"))
    assert (record.model, record.precision, record.input, record.decode) == (
        "any",
        precision,
        f"random: {given}",
        False,
    )
    assert (record.num_runs, record.num_warmup_runs, record.emulated, notes) == (3, 1, False, [])
    assert min(record.samples_ms) > 0
    assert record.init_ms > 0
    assert not math.isnan(record.warmup_first_ms)
    assert len(record.sha256) == 64
    (row,) = table.rows([record])
    assert row["input"] == given


def test_a_classifier_has_the_columns_and_the_input_that_it_had(tmp_path: Path) -> None:
    record, _ = measured(Path("digits_xs_int8"))
    assert record.input == "random"
    assert "input" not in table.rows([record])[0]
    others, _ = measured(no_classifiers.audio(tmp_path / "audio.tflite"))
    assert [row["input"] for row in table.rows([record, others])] == ["", "sound [1, 1600] float32"]


def test_whole_numbers_that_it_does_not_take_become_nought_and_that_is_said(tmp_path: Path) -> None:
    record, notes = measured(no_classifiers.words(tmp_path / "words.tflite", known=10))
    assert record.num_runs == 3
    assert notes == ["words.tflite does not take random whole numbers: all are 0"]


def test_shapes_are_given_or_taken_and_are_in_the_record(tmp_path: Path) -> None:
    path = no_classifiers.lstm(tmp_path / "steps.tflite", (-1, -1, 8))
    with pytest.raises(UsageError, match=r"no size of its own .*: give `--shape 1,N,8`$"):
        measured(path)
    short, long = (measured(path, shapes=((1, steps, 8),))[0] for steps in (5, 50))
    assert (short.input, long.input) == ("random: steps [1, 5, 8] float32", "random: steps [1, 50, 8] float32")
    with pytest.raises(UsageError, match="no measurement of the same model"):
        table.compared([short], [long])
    batch, (note,) = measured(no_classifiers.lstm(tmp_path / "batch.tflite", (-1, 12, 8)))
    assert batch.input == "random: steps [1, 12, 8] float32"
    assert "leaves the batch open" in note


def test_a_classifier_that_leaves_its_size_open_is_not_timed_at_one_pixel(tmp_path: Path) -> None:
    path = colours(tmp_path / "free.tflite", (1, -1, -1, 3))
    with pytest.raises(UsageError, match=r"give --size, such as 224, or keep one with "):
        measured(path)
    record, _ = measured(path, overrides=Overrides(size=(24, 40)))
    assert record.input == "random: picture [1, 24, 40, 3] float32"
    subject = load(quick(path, overrides=Overrides(size=(24, 40))))
    assert subject.runner is not None
    assert subject.executable.inputs[0].shape == (1, 24, 40, 3)
    assert sizes(subject) == ": picture [1, 24, 40, 3] float32"


def test_a_detector_takes_the_size_too(tmp_path: Path) -> None:
    path = no_classifiers.detector(tmp_path / "free.tflite", (1, -1, -1, 3))
    record, _ = measured(path, overrides=Overrides(size=(24, 40)))
    assert record.input == "random: image [1, 24, 40, 3] float32"


@pytest.mark.parametrize("changes", [{"images": ("x.png",)}, {"overrides": Overrides(labels="imagenet")}])
def test_what_is_for_classifiers_alone_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(NotClassifierError, match=r"detect\.tflite: not an image classifier .* times it$"):
        measured(no_classifiers.detector(tmp_path / "detect.tflite"), **changes)


def test_shapes_are_not_for_pictures(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--shape is for random input: leave it out, or --image"):
        quick(tmp_path, images=("x.png",), shapes=((1, 2),))


def test_a_device_is_emulated_where_its_time_can_be_told(tmp_path: Path) -> None:
    record, _ = measured(no_classifiers.audio(tmp_path / "audio.tflite"), device="pixel-3", runs=1)
    assert (record.emulated, record.device, record.num_threads) == (True, "pixel-3", 4)
    assert record.emulation is not None
    assert min(record.samples_ms) > 0.5 * record.emulation["predicted_ms"]
    said = "no published model tells what UNIDIRECTIONAL_SEQUENCE_LSTM takes on pixel-3"
    with pytest.raises(EmulationError, match=said):
        measured(no_classifiers.lstm(tmp_path / "lstm.tflite"), device="pixel-3")
    free = no_classifiers.detector(tmp_path / "free.tflite", (1, -1, -1, 3))
    with pytest.raises(BenchError, match="no size of its own, and what it takes on a device is predicted from that"):
        measured(free, device="pixel-3", shapes=((1, 32, 32, 3),))
