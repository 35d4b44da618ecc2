"""What is told of conversions before TensorFlow is imported, and that what nothing is wrong with is let pass."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from ondevice.converters import beforehand
from ondevice.converters.job import ConversionJob
from ondevice.errors import CardError, UsageError
from ondevice.models import zoo

SAMPLES = str(zoo.samples_dir())
NETWORK = "mobilenet_v1_0.25_128"


def job(out: Path, **given: Any) -> ConversionJob:
    return ConversionJob(**{"source": NETWORK, "out": str(out), "weights": "none"} | given)


def told(*jobs: ConversionJob) -> str:
    with pytest.raises(UsageError) as caught:
        beforehand.check([*jobs])
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_good_jobs_pass_and_leave_nothing_behind(tmp_path: Path) -> None:
    out = tmp_path / "new" / "deeper"
    good = job(out, precisions=("int8",), calibration=SAMPLES, calibration_size=20, check=SAMPLES, labels="imagenet")
    beforehand.check([good, job(tmp_path, name="other", precisions=("int8",), calibration="random")])
    assert beforehand.refusal(good) is None
    assert list(tmp_path.iterdir()) == []


def test_two_of_one_name_and_what_is_there(tmp_path: Path) -> None:
    assert told(job(tmp_path), job(tmp_path)) == f"two sources are called '{NETWORK}': give one of them another --name"
    job(tmp_path).path("fp32").touch()
    assert told(job(tmp_path)).endswith(" is there already: give --force to replace it, or another --out")
    beforehand.check([job(tmp_path, force=True)])


def test_where_nothing_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "folder"):
        assert told(job(out)) == f"--out {out}: {tmp_path / 'file'} is a file: give a folder"
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    out = tmp_path / "new" / "folder"
    assert told(job(out)) == f"--out {out}: folder '{tmp_path}' may not be written to; give another one"


@pytest.mark.parametrize("flag", ["calibration", "check"])
def test_pictures_that_are_not_there(flag: str, tmp_path: Path) -> None:
    given = {"precisions": ("int8",), "calibration": SAMPLES} | {flag: str(tmp_path / "nowhere")}
    assert told(job(tmp_path, **given)) == f"--{flag} {tmp_path / 'nowhere'}: no such folder"
    given[flag] = str(tmp_path)
    (tmp_path / "notes.txt").touch()
    assert told(job(tmp_path, **given)) == f"--{flag} {tmp_path}: no picture in it (1 other files)"


def test_pictures_of_which_none_is_left_to_check_with(tmp_path: Path) -> None:
    given: dict[str, Any] = {"calibration": SAMPLES, "calibration_size": 200}
    said = told(job(tmp_path, precisions=("int8",), **given))
    assert said.startswith(f"{SAMPLES}: all 200 pictures are calibrated on, none is left to check with: give --check")
    assert told(job(tmp_path, precisions=("int8",), check=SAMPLES, **given)) == said
    beforehand.check([job(tmp_path, **given)])  # nothing is calibrated for fp32


def test_labels_that_are_not_there_or_not_as_many(tmp_path: Path) -> None:
    with pytest.raises(CardError, match=r"^no label list 'nowhere\.txt'"):
        beforehand.check([job(tmp_path, labels="nowhere.txt")])
    assert "has 1000 classes" in str(beforehand.refusal(job(tmp_path, labels="digits")))
    # How many classes a file has, nobody knows before it is read.
    folder = tmp_path / "saved"
    folder.mkdir()
    (folder / "saved_model.pb").touch()
    assert beforehand.refusal(job(tmp_path, source=str(folder), labels="digits")) is None


def test_what_a_source_is_comes_before_its_name(tmp_path: Path) -> None:
    for name, content, said in (
        ("a net.onnx", b"\x08\x08:\x02\n\x00", "a net.onnx is an ONNX network: "),
        ("a net.h5", b"\x89HDF\r\n\x1a\n", "'a net' cannot be a model's name: give another, such as --name a_net"),
    ):
        (tmp_path / name).write_bytes(content)
        assert said in str(beforehand.refusal(job(tmp_path, source=str(tmp_path / name))))


def test_one_source_is_refused_for_itself(tmp_path: Path) -> None:
    assert str(beforehand.refusal(job(tmp_path, source="misspelt"))).startswith("no architecture 'misspelt'")
    missing = f"--weights {tmp_path / 'net.h5'}: no such file; give imagenet, none, or a file"
    assert str(beforehand.refusal(job(tmp_path, weights=str(tmp_path / "net.h5")))) == missing
