import hashlib
import itertools
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ondevice.models.card import Card
from training import digits

MODELS = Path(__file__).parents[2] / "models" / "digits"
CARDS = {path.stem: Card.read(path) for path in sorted(MODELS.glob("*.toml"))}
Split = tuple[digits.Sources, digits.Sources]
SIZES = ("xs", "s", "m", "l")


@pytest.fixture(scope="module")
def sources() -> Split:
    pytest.importorskip("sklearn")
    return digits.split(0)


def drawn(
    sources: digits.Sources, seed: int, count: int = 20, canvas: int = 128
) -> tuple[digits.Pictures, digits.Labels]:
    return digits.batch(np.random.default_rng(seed), sources, count, canvas)


def test_same_seed_same_pictures(sources: Split) -> None:
    first, again = drawn(sources[0], 5), drawn(sources[0], 5)
    assert np.array_equal(first[0], again[0])
    assert np.array_equal(first[1], again[1])


def test_other_seed_other_pictures(sources: Split) -> None:
    assert not np.array_equal(drawn(sources[0], 5)[0], drawn(sources[0], 6)[0])


def test_no_two_pictures_of_a_batch_are_alike(sources: Split) -> None:
    pictures, _ = drawn(sources[0], 5, count=50)
    assert len({picture.tobytes() for picture in pictures}) == 50


@pytest.mark.parametrize("canvas", [64, 128, 160])
def test_canvas_size(sources: Split, canvas: int) -> None:
    pictures, _ = drawn(sources[0], 0, count=10, canvas=canvas)
    assert pictures.shape == (10, canvas, canvas)
    assert pictures.dtype == np.uint8


def test_classes_are_balanced_and_shuffled(sources: Split) -> None:
    _, labels = drawn(sources[0], 0, count=100)
    assert np.bincount(labels).tolist() == [10] * 10
    assert labels.tolist() != sorted(labels.tolist())


def test_split_covers_every_digit_once(sources: Split) -> None:
    train, held_out = sources
    assert len(train.labels) + len(held_out.labels) == 1797
    assert not {i.tobytes() for i in train.images} & {i.tobytes() for i in held_out.images}


def test_split_is_stratified_and_seeded(sources: Split) -> None:
    train, held_out = sources
    shares = np.bincount(held_out.labels) / (np.bincount(held_out.labels) + np.bincount(train.labels))
    assert np.abs(shares - 0.2).max() < 0.01
    assert np.array_equal(digits.split(0)[1].images, held_out.images)
    assert not np.array_equal(digits.split(1)[1].images, held_out.images)


def test_digit_stands_out_from_its_background(sources: Split) -> None:
    pictures, _ = drawn(sources[0], 0, count=50)
    spread = pictures.max(axis=(1, 2)).astype(int) - pictures.min(axis=(1, 2))
    assert spread.min() > 30


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_card_states_its_file(size: str, precision: str) -> None:
    card = CARDS[f"digits_{size}_{precision}"]
    content = (MODELS / card.file_name).read_bytes()
    assert card.size_bytes == len(content)
    assert card.sha256 == hashlib.sha256(content).hexdigest()
    assert card.precision == precision
    assert (card.input.channels, card.input.crop, card.labels, card.background) == (1, 1.0, "digits", False)


@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_each_step_up_gains_three_points(precision: str) -> None:
    top1 = [known.top1 for size in SIZES if (known := CARDS[f"digits_{size}_{precision}"].accuracy)]
    assert len(top1) == len(SIZES)
    assert all(larger - smaller >= 0.03 for smaller, larger in itertools.pairwise(top1)), top1


def test_every_file_has_a_card() -> None:
    assert {path.stem for path in MODELS.glob("*.tflite")} == set(CARDS)


def test_bundle_is_small() -> None:
    assert sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file()) <= 4_000_000


def test_samples_are_twenty_a_class() -> None:
    counts = {folder.name: len(list(folder.glob("*.png"))) for folder in (MODELS / "samples").iterdir()}
    assert counts == {str(label): 20 for label in range(10)}
    with Image.open(MODELS / "samples" / "3" / "00.png") as sample:
        assert (sample.size, sample.mode) == ((128, 128), "L")


def test_samples_are_the_drawings_of_held_out_digits(sources: Split) -> None:
    pytest.importorskip("ai_edge_litert")
    from training import family

    _, held_out = sources
    pictures, labels = digits.batch(np.random.default_rng([0, family.SAMPLE_STREAM, 128, 0]), held_out, 200)
    expected = {(int(label), picture.tobytes()) for picture, label in zip(pictures, labels, strict=True)}
    found = {(int(path.parent.name), np.asarray(Image.open(path)).tobytes()) for path in MODELS.glob("samples/*/*.png")}
    assert found == expected
