"""The sizes of inputs that a file leaves open: given, of a batch taken, else asked for."""

from __future__ import annotations

from pathlib import Path

import no_classifiers
import pytest

from ondevice.bench.shapes import choose
from ondevice.errors import UsageError


def test_a_file_with_sizes_of_its_own_needs_none(tmp_path: Path) -> None:
    path = no_classifiers.sums(tmp_path / "sums.tflite")
    assert choose(path, ()) == ((), ())
    with pytest.raises(UsageError, match=r"sizes of their own \(a \[1, 6\] float32, b .*\): leave --shape"):
        choose(path, [(1, 6)])


def test_a_batch_is_one_and_that_is_said(tmp_path: Path) -> None:
    path = no_classifiers.lstm(tmp_path / "steps.tflite", (-1, 12, 8))
    (shapes, (note,)) = choose(path, ())
    assert shapes == ((1, 12, 8),)
    assert note == (
        "steps.tflite leaves the batch open (steps [?, 12, 8] float32): it is 1; `--shape 8,12,8` makes it 8"
    )
    assert choose(path, [(8, 12, 8)]) == (((8, 12, 8),), ())


@pytest.mark.parametrize(
    ("shape", "typed"),
    [((1, -1, 8), "1,N,8"), ((-1, -1, 8), "1,N,8")],
)
def test_any_other_free_size_is_asked_for(shape: tuple[int, ...], typed: str, tmp_path: Path) -> None:
    path = no_classifiers.lstm(tmp_path / "steps.tflite", shape)
    with pytest.raises(UsageError, match=rf"no size of its own \(steps \[.*\] float32\): give `--shape {typed}`$"):
        choose(path, ())


def test_a_lone_free_size_is_no_batch(tmp_path: Path) -> None:
    path = no_classifiers.tones(tmp_path / "tones.tflite")
    with pytest.raises(UsageError, match=r"no size of its own \(sound \[\?\] float32\): give `--shape N`$"):
        choose(path, ())
    assert choose(path, [(16000,)]).shapes == ((16000,),)


def test_a_picture_takes_the_size(tmp_path: Path) -> None:
    path = no_classifiers.detector(tmp_path / "free.tflite", (1, -1, -1, 3))
    assert choose(path, (), (24, 40)).shapes == ((1, 24, 40, 3),)
    half = no_classifiers.detector(tmp_path / "half.tflite", (1, 24, -1, 3))
    with pytest.raises(UsageError, match=r"--size 32x40 does not fit its input image \[1, 24, \?, 3\]"):
        choose(half, (), (32, 40))


@pytest.mark.parametrize("given", [(1, 12, 9), (12, 8), (1, 12, 8, 1)])
def test_a_shape_that_does_not_fit(given: tuple[int, ...], tmp_path: Path) -> None:
    path = no_classifiers.lstm(tmp_path / "steps.tflite", (1, -1, 8))
    with pytest.raises(UsageError, match=r"--shape [\d,]+ does not fit its input steps .*: give `--shape 1,N,8`$"):
        choose(path, [given])


def test_the_batches_of_several_inputs_are_said_in_one_line(tmp_path: Path) -> None:
    path = no_classifiers.sums(tmp_path / "sums.tflite", shapes=((-1, 6), (1, 6), (-1, 6)))
    (shapes, (note,)) = choose(path, ())
    assert shapes == ((1, 6),) * 3
    assert note == (
        "sums.tflite leaves the batch open (a [?, 6] float32, c [?, 6] float32): it is 1; "
        "`--shape 8,6 --shape 8,6` makes it 8"
    )


def test_inputs_with_free_sizes_have_theirs_in_order(tmp_path: Path) -> None:
    path = no_classifiers.sums(tmp_path / "sums.tflite", shapes=((1, -1), (1, 6), (-1, 6)))
    assert choose(path, [(1, 6), (1, 6)]).shapes == ((1, 6),) * 3
    with pytest.raises(UsageError, match=r"2 of its inputs have free sizes \(a .*, c .*\), not 1: give `--shape 1,N "):
        choose(path, [(1, 6)])
