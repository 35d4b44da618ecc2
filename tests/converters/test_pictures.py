"""Pictures for calibration and check: which are taken, and that they are those that the runner would see."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ondevice.converters import pictures
from ondevice.errors import UsageError
from ondevice.models import zoo
from ondevice.models.card import Input
from ondevice.preprocess import Preprocessor
from ondevice.runtime import Model

WANTED = Input(32, 24, 3, mean=(127.5,), std=(127.5,))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three pictures, one file that is named like one, and two that are not."""
    inside = tmp_path / "photos"
    inside.mkdir()
    for i in range(3):
        Image.effect_noise((60, 50), 20 + i).convert("RGB").save(inside / f"{i}.png")
    (inside / "text.jpg").write_text("I am no picture")
    (inside / "notes.txt").write_text("nor am I")
    (inside / "labels.csv").write_text("nor I")
    return inside


def test_a_folder_is_listed_by_names_and_the_others_counted(folder: Path) -> None:
    paths, skipped = pictures.listed(str(folder), "--calibration")
    assert [Path(path).name for path in paths] == ["0.png", "1.png", "2.png", "text.jpg"]
    assert skipped == 2


@pytest.mark.parametrize("others", [0, 2])
def test_a_folder_without_any_picture(others: int, tmp_path: Path) -> None:
    for i in range(others):
        (tmp_path / f"{i}.txt").touch()
    with pytest.raises(UsageError) as caught:
        pictures.listed(str(tmp_path), "--calibration")
    assert str(caught.value) == f"--calibration {tmp_path}: no picture in it ({others} other files)"


@pytest.mark.parametrize("name", ["nowhere", "file"])
def test_what_is_no_folder(name: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match=r"^--check .*: no such folder$"):
        pictures.listed(str(tmp_path / name), "--check")


@pytest.mark.parametrize(("n", "size"), [(500, 100), (101, 100), (199, 100), (7, 3), (1000, 1)])
def test_the_sample_is_even(n: int, size: int) -> None:
    paths = [f"{i:04}.jpg" for i in range(n)]
    for seed in range(5):
        chosen = pictures.even(paths, size, seed)
        assert len(set(chosen)) == size
        assert list(chosen) == sorted(chosen)
        steps = np.diff([int(path[:4]) for path in chosen])
        assert set(steps) <= {n // size, -(-n // size)}


def test_the_seed_chooses_where_the_sample_begins() -> None:
    paths = [f"{i:03}.jpg" for i in range(500)]
    samples = {seed: pictures.even(paths, 50, seed) for seed in range(20)}
    assert len(set(samples.values())) > 5
    assert all(pictures.even(paths, 50, seed) == sample for seed, sample in samples.items())


@pytest.mark.parametrize("size", [3, 4, 100])
def test_where_there_are_no_more_all_are_taken(size: int) -> None:
    assert pictures.even(["a", "b", "c"], size, 1) == ("a", "b", "c")


def test_what_cannot_be_read_is_counted(folder: Path) -> None:
    paths, _ = pictures.listed(str(folder), "--check")
    loaded = pictures.load(paths, WANTED)
    assert (loaded.images.shape, loaded.images.dtype) == ((3, 32, 24, 3), np.uint8)
    assert [Path(path).name for path in loaded.paths] == ["0.png", "1.png", "2.png"]
    assert loaded.unreadable == 1


def test_where_none_can_be_read_that_is_said(folder: Path) -> None:
    bad = str(folder / "text.jpg")
    with pytest.raises(UsageError, match=r"^none of 1 pictures can be read, such as .*text\.jpg$"):
        pictures.load([bad], WANTED)


def test_noise_is_the_seeds() -> None:
    once, again, other = (pictures.noise(4, WANTED, seed) for seed in (1, 1, 2))
    assert (once.shape, once.dtype) == ((4, 32, 24, 3), np.uint8)
    assert (once == again).all()
    assert (once != other).any()
    assert (once.min(), once.max()) == (0, 255)


@pytest.mark.parametrize("model", ["digits_xs_fp32", "digits_l_fp32"])
def test_tensors_are_what_the_runner_feeds(model: str, sample: Path) -> None:
    entry = zoo.find(model)
    wanted, spec = entry.card.input, Model(entry.path).input
    images = pictures.load([str(sample)], wanted).images
    np.testing.assert_allclose(
        pictures.tensors(images, wanted), Preprocessor(wanted, spec).tensor(images[0]), atol=1e-6
    )


def test_every_channel_has_its_own_mean_and_deviation() -> None:
    wanted = Input(2, 2, 3, mean=(10, 20, 30), std=(1, 2, 4))
    tensor = pictures.tensors(np.full((1, 2, 2, 3), 50, np.uint8), wanted)
    assert tensor.dtype == np.float32
    np.testing.assert_allclose(tensor[0, 0, 0], [40, 15, 5], rtol=1e-6)
