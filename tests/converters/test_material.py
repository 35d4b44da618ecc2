"""What a network is converted with: class names, pictures to calibrate on and others to check with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ondevice.converters.job import ConversionJob
from ondevice.converters.material import Material, class_names, cropped, gather
from ondevice.errors import UsageError
from ondevice.models import zoo
from ondevice.models.card import Input

SAMPLES = str(zoo.samples_dir())
INPUT = Input(16, 16, 1)


def job(**given: Any) -> ConversionJob:
    return ConversionJob("net.keras", "out", **{"labels": "digits"} | given)


def gathered(notes: list[str] | None = None, **given: Any) -> Material:
    return gather(job(**given), INPUT, 10, [].append if notes is None else notes.append)


@pytest.mark.parametrize(
    ("classes", "labels", "first", "background"),
    [
        (1000, "", "tench", False),
        (1001, "", "tench", True),
        (1001, "imagenet", "tench", True),
        (10, "", "class 0", False),
        (10, "digits", "0", False),
        (3, "", "class 0", False),
    ],
)
def test_classes_have_names(classes: int, labels: str, first: str, background: bool) -> None:
    names, has_background = class_names(job(labels=labels), classes)
    assert (len(names), names.names[0], has_background) == (classes - background, first, background)


@pytest.mark.parametrize(
    ("classes", "given", "crop"),
    [(1001, {}, 0.875), (1000, {"crop": 1.0}, 1.0), (10, {}, 1.0), (10, {"crop": 0.9}, 1.0)],
)
def test_only_imagenets_classes_have_its_crop(classes: int, given: dict[str, float], crop: float) -> None:
    assert cropped(job(labels="", **given), Input(16, 16, 3, crop=1.0), classes).crop == crop


def test_names_must_be_as_many_as_classes() -> None:
    with pytest.raises(UsageError, match=r"^net has 12 classes, .*digits\.txt 10 names; give one name a line"):
        class_names(job(), 12)


@pytest.mark.parametrize(
    ("source", "beside", "taken"),
    [
        ("net.keras", "labels.txt", True),
        ("net.keras", "net.labels.txt", True),
        ("net.keras", "model/labels.txt", False),
        ("model", "labels.txt", True),
        ("model", "model/labels.txt", True),
        ("model", "net.labels.txt", False),
    ],
)
def test_labels_beside_a_network_are_its_own_and_that_is_told(
    source: str, beside: str, taken: bool, tmp_path: Path
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "net.keras").touch()
    (tmp_path / beside).write_text("0 Cat\n1 Dog\n")
    notes: list[str] = []
    names, _ = class_names(ConversionJob(str(tmp_path / source), "out"), 2, notes.append)
    assert names.names == (("Cat", "Dog") if taken else ("class 0", "class 1"))
    assert notes == [f"labels: {tmp_path / beside}; --labels takes others"][: int(taken)]


def test_labels_beside_that_do_not_fit_are_told_and_not_taken(tmp_path: Path) -> None:
    (tmp_path / "net.keras").touch()
    (tmp_path / "dict.txt").write_text("Cat\nDog\n")
    notes: list[str] = []
    names, _ = class_names(ConversionJob(str(tmp_path / "net.keras"), "out"), 3, notes.append)
    assert names.names == ("class 0", "class 1", "class 2")
    assert len(notes) == 1
    assert notes[0].startswith(f"{tmp_path / 'dict.txt'} is not used: net has 3 classes, ")


def test_labels_in_the_working_folder_are_not_those_of_an_architecture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "labels.txt").write_text("\n".join(map(str, range(1000))))
    assert class_names(ConversionJob("mobilenet_v2_1.0_224", "out"), 1000)[0].names[0] == "tench"


@pytest.mark.parametrize(("classes", "truth"), [(1000, 0), (1001, 1)])
def test_a_background_class_comes_before_all_others(classes: int, truth: int, tmp_path: Path) -> None:
    (tmp_path / "tench").mkdir()
    (tmp_path / "tench" / "1.png").write_bytes(next(zoo.samples_dir().glob("*/*.png")).read_bytes())
    material = gather(job(labels="", check=str(tmp_path)), INPUT, classes, [].append)
    assert material.checked.truth is not None
    assert (material.background, material.checked.truth.tolist()) == (classes == 1001, [truth])


def test_nothing_is_calibrated_unless_int8_is_made() -> None:
    material = gathered(calibration=SAMPLES)
    assert material.calibration is None
    assert material.checked.description == "200 pictures of samples not calibrated on"


def test_what_is_checked_is_not_what_is_calibrated_on() -> None:
    material = gathered(precisions=("int8",), calibration=SAMPLES, calibration_size=20)
    assert material.calibration is not None
    assert (len(material.calibration.files), material.calibration.images.shape) == (20, (20, 16, 16, 1))
    assert material.calibration.description == "20 pictures of samples, seed 0"
    assert len(material.checked.images) == 180
    assert material.checked.truth is not None
    assert sorted(set(material.checked.truth.tolist())) == list(range(10))


def test_pictures_that_are_all_calibrated_on() -> None:
    with pytest.raises(UsageError) as caught:
        gathered(precisions=("int8",), calibration=SAMPLES, calibration_size=200)
    assert str(caught.value) == (
        f"{SAMPLES}: all 200 pictures are calibrated on, none is left to check with: "
        "give --check DIR, or a smaller --calibration-size"
    )


def test_noise_where_answers_do_not_matter() -> None:
    material = gathered(precisions=("int8",), calibration="random", calibration_size=30)
    assert material.calibration is not None
    assert (material.calibration.files, len(material.calibration.images)) == (frozenset(), 30)
    assert "for latency, not for answers" in material.calibration.description
    assert (material.checked.truth, material.checked.description) == (None, "16 noise images")
    assert not np.array_equal(material.checked.images, material.calibration.images[:16])


def test_pictures_without_labels_are_compared_all_the_same_and_files_passed_over_are_counted(tmp_path: Path) -> None:
    picture = next(zoo.samples_dir().glob("*/*.png")).read_bytes()
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(picture)
    (tmp_path / "bad.png").write_text("text")
    (tmp_path / "notes.txt").touch()
    notes: list[str] = []
    material = gathered(notes, precisions=("int8",), calibration=str(tmp_path), check=SAMPLES)
    assert notes == ["--calibration: 2 files that are not pictures skipped"]
    assert material.checked.description == "200 pictures of samples not calibrated on"
    unlabelled = gathered(check=str(tmp_path))
    assert (unlabelled.checked.truth, len(unlabelled.checked.images), len(notes)) == (None, 3, 1)


def pictures(folder: Path, *names: str) -> str:
    """Copies of a bundled picture by these names."""
    content = next(zoo.samples_dir().glob("*/*.png")).read_bytes()
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return str(folder)


def test_why_labels_are_not_used_is_told(tmp_path: Path) -> None:
    notes: list[str] = []
    folder = pictures(tmp_path, "3/a.png", "three/b.png")
    assert gathered(notes, check=folder).checked.truth is None
    (note,) = notes
    assert note.startswith(f"--check: top-1 is not counted: {folder}: folder 'three' names no class of ")


def test_what_is_held_out_is_checked_on_and_pictures_without_a_class_are_not(tmp_path: Path) -> None:
    notes: list[str] = []
    folder = pictures(tmp_path, "train/3/a.png", "train/4/a.png", "val/3/b.png", "val/4/c.png", "val/d.png")
    checked = gathered(notes, check=folder).checked
    assert checked.truth is not None
    assert checked.truth.tolist() == [3, 4]
    assert [note.split(":")[0] for note in notes] == ["--check", "--check"]
    assert "measured on val, not on train" in notes[0]
    assert "passed over 1 picture outside any class folder" in notes[1]
