"""The user's own models in the zoo: how they are registered, and what can be removed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ondevice.errors import UsageError
from ondevice.models import registry, zoo
from ondevice.models.card import Accuracy
from ondevice.models.uploads import MeasuredUploads

LIKE = "digits_xs_fp32"
PULLABLE = "mobilenet_v1_0.25_128_quant"


def test_a_registered_model_is_in_the_zoo_with_its_labels() -> None:
    like = zoo.find(LIKE)
    card = replace(like.card, name="mine", labels="mine.labels.txt")
    entry = registry.register(card, like.path, "zero\none\n")
    assert (zoo.find("mine"), entry.origin) == (entry, "added")
    assert entry.path.read_bytes() == like.path.read_bytes()
    assert (entry.card_path.parent / "mine.labels.txt").read_text() == "zero\none\n"


def test_only_an_added_model_is_replaced_and_only_by_force(tmp_path: Path) -> None:
    like = zoo.find(LIKE)
    with pytest.raises(UsageError, match=rf"has a model '{LIKE}' \(bundled\); give another --name$"):
        registry.register(like.card, like.path, force=True)
    card = replace(like.card, name="mine")
    registry.register(card, like.path)
    with pytest.raises(UsageError, match=r"'mine' \(added\); give another --name, or --force to replace it$"):
        registry.register(card, like.path)
    other = tmp_path / "other.tflite"
    other.write_bytes(b"other")
    assert registry.register(card, other, force=True).path.read_bytes() == b"other"


def test_an_accuracy_goes_into_a_card_of_ones_own_alone(tmp_path: Path) -> None:
    like, accuracy = zoo.find(LIKE), Accuracy(0.71, "somebody's photos")
    mine = registry.register(replace(like.card, name="mine", accuracy=None), like.path)
    assert registry.rate(mine, accuracy) == zoo.find("mine")
    assert zoo.find("mine").card == replace(like.card, name="mine", accuracy=accuracy)
    for foreign in (like, zoo.find(PULLABLE)):
        with pytest.raises(UsageError, match="is part of ondevice and stays: `ondevice models add"):
            registry.rate(foreign, accuracy)
        assert zoo.find(foreign.card.name) == foreign
    with pytest.raises(
        UsageError, match=r"^some one\.tflite has no card: `ondevice models add 'some one\.tflite'` gives it one$"
    ):
        registry.own(None, Path("some one.tflite"))


def test_what_was_measured_of_uploads_goes_into_a_card_of_ones_own_alone() -> None:
    like, uploads = zoo.find(LIKE), MeasuredUploads(("64,40",), (600,), (0.5,), 0.8, 100, "drawings")
    mine = registry.register(replace(like.card, name="mine"), like.path)
    assert registry.rate_uploads(mine, uploads) == zoo.find("mine")
    assert zoo.find("mine").card == replace(like.card, name="mine", uploads=uploads)
    with pytest.raises(UsageError, match="is part of ondevice and stays"):
        registry.rate_uploads(like, uploads)


def test_the_card_beside_a_file_is_the_users_too(tmp_path: Path) -> None:
    like, path = zoo.find(LIKE), tmp_path / "mine.tflite"
    path.write_bytes(like.path.read_bytes())
    replace(like.card, name="mine", accuracy=None).write(path.with_suffix(".toml"))
    found = zoo.beside(path, like.card.sha256)
    assert found is not None
    registry.rate(found, Accuracy(0.71, "photos", 0.9))
    rated = zoo.beside(path, like.card.sha256)
    assert rated is not None
    assert rated.card == replace(like.card, name="mine", accuracy=Accuracy(0.71, "photos", 0.9))


def test_removing_a_pulled_model_keeps_its_card() -> None:
    entry = zoo.find(PULLABLE)
    with pytest.raises(UsageError, match=f"^{PULLABLE} is not on this machine$"):
        registry.remove(PULLABLE)
    entry.path.parent.mkdir(parents=True)
    entry.path.touch()
    assert registry.remove(PULLABLE) == entry.path
    assert not entry.path.exists()
    assert zoo.find(PULLABLE) == entry


def test_a_bundled_model_stays() -> None:
    with pytest.raises(UsageError, match=f"^{LIKE} is bundled with ondevice and stays$"):
        registry.remove(LIKE)
    assert zoo.find(LIKE).present
