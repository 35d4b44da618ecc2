"""The zoo: models by name, by path and by checksum, and what is said where there is none."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from ondevice.errors import CardError, ModelError, UnknownModelError
from ondevice.models import files, zoo
from ondevice.models.card import Card

NAME = "mobilenet_v2_1.0_224_quant"
# As every file of them begins.
TFLITE = b"\x1c\0\0\0TFL3"


def put(name: str, content: bytes | None = b"some bytes") -> zoo.Entry:
    """A model in the user's zoo; without its file where content is None."""
    folder = zoo.added_dir()
    path = folder / f"{name}.tflite"
    folder.mkdir(parents=True, exist_ok=True)
    checksum = "0" * 64
    if content is not None:
        path.write_bytes(content)
        checksum = files.sha256(path)
    card = dataclasses.replace(zoo.find(NAME).card, name=name, sha256=checksum, source="added from a test")
    card.write(folder / f"{name}.toml")
    return zoo.Entry(card, folder / f"{name}.toml", path, "added")


def test_every_model_once_bundled_first_and_small_ones_first() -> None:
    put("mine")
    entries = zoo.entries()
    names = [entry.card.name for entry in entries]
    assert len(names) == len(set(names))
    origins = [entry.origin for entry in entries]
    assert origins == sorted(origins, key=("bundled", "pulled", "added").index)
    assert (origins.count("pulled"), origins.count("added"), names[-1]) == (5, 1, "mine")
    for origin in ("bundled", "pulled"):
        sizes = [entry.card.size_bytes for entry in entries if entry.origin == origin]
        assert sizes == sorted(sizes)
    assert [entry.present for entry in entries] == [origin != "pulled" for origin in origins]


def test_find_a_model(home: Path) -> None:
    entry = zoo.find(NAME)
    assert (entry.card.name, entry.origin, entry.present) == (NAME, "pulled", False)
    assert entry.path == home / "cache" / "models" / f"{NAME}.tflite"
    assert Card.read(entry.card_path) == entry.card
    assert put("mine") == zoo.find("mine")
    assert zoo.find("mine").present


@pytest.mark.parametrize(
    ("name", "nearest"),
    [
        ("mobilenet_v2_1.0_224_qant", NAME),
        ("mobilenet_v1_0.5_160", "mobilenet_v1_0.5_160_quant"),
        (f"{NAME}.toml", NAME),
        (f"../cards/{NAME}", NAME),
        (f"{NAME[:-1]}*", NAME),
        (f"{NAME[:-1]}?", NAME),
        (f"{NAME[:-1]}[t]", NAME),
    ],
)
def test_unknown_names_are_answered_with_the_nearest(name: str, nearest: str) -> None:
    with pytest.raises(UnknownModelError) as caught:
        zoo.find(name)
    error = caught.value
    assert (error.model, error.nearest[0]) == (name, nearest)
    assert 1 <= len(error.nearest) <= 3
    said = f"no model '{name}' in the zoo, and no such file; did you mean {', '.join(error.nearest)}?"
    assert str(error) == said


@pytest.mark.parametrize("name", ["*", "", "[!x]*", "**", ".", "..", "Ω", "x" * 300, "q\0q"])
def test_names_like_no_other_are_answered_with_where_to_look(name: str) -> None:
    with pytest.raises(UnknownModelError, match=r"; `ondevice models list` shows all$") as caught:
        zoo.find(name)
    assert caught.value.nearest == ()


def test_locate_a_file_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("a.tflite", "odd [1]*.tflite", "no suffix"):
        (tmp_path / name).write_bytes(TFLITE)
        assert zoo.locate(name) == (Path(name), None)
        assert zoo.locate(str(tmp_path / name)) == (tmp_path / name, None)
        assert zoo.locate(f"~/{name}") == (tmp_path / name, None)


def test_a_file_goes_before_a_model_of_its_name_and_a_folder_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    entry = put("mine")
    (tmp_path / "mine").mkdir()
    assert zoo.locate("mine") == (entry.path, entry)
    (tmp_path / "mine").rmdir()
    (tmp_path / "mine").write_bytes(TFLITE)
    assert zoo.locate("mine") == (Path("mine"), None)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("gone.tflite", "no such file"),
        ("sub/gone", "no such file"),
        ("/gone", "no such file"),
        ("a[1].tflite", "no such file"),
        ("sub/*", "no such file"),
        ("folder.tflite", "a folder, not a .tflite file: there is no .tflite file in it"),
        ("sub/folder", "a folder, not a .tflite file: there is no .tflite file in it"),
        ("x" * 300, "file name too long"),
        ("~nobody-of-this-name/x.tflite", "the home folder ~nobody-of-this-name is not known: give the whole path"),
    ],
)
def test_locate_what_is_no_file(model: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in ("folder.tflite", "sub/folder"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "a1.tflite").touch()
    with pytest.raises(ModelError) as caught:
        zoo.locate(model)
    assert str(caught.value) == f"{model}: {said}"
    assert caught.value.model == model


@pytest.mark.parametrize("model", ["mobile*", "mobilenet_v2_1.0_224_quan[t]", "mobilenet_v2_1.0_224_quan?"])
def test_models_are_named_and_not_globbed(model: str) -> None:
    with pytest.raises(UnknownModelError):
        zoo.locate(model)


def test_a_model_that_is_not_pulled_yet() -> None:
    with pytest.raises(ModelError) as caught:
        zoo.locate(NAME)
    assert str(caught.value) == f"{NAME} is not on this machine: get it with `ondevice models pull {NAME}`"


def test_an_added_model_whose_file_is_gone() -> None:
    put("mine", None)
    with pytest.raises(
        ModelError,
        match=r"^mine is not on this machine: add it again with `ondevice models add FILE --name mine --force`$",
    ):
        zoo.locate("mine")


def test_a_file_is_recognised_by_its_checksum(data: Path) -> None:
    entry = zoo.recognise(files.sha256(data / "tflite" / f"{NAME}.tflite"))
    assert entry == zoo.find(NAME)
    added = put("mine")
    assert zoo.recognise(added.card.sha256) == added
    assert zoo.recognise("0" * 64) is None


def test_bundled_models_are_recognised() -> None:
    bundled = [entry for entry in zoo.entries() if entry.origin == "bundled"]
    assert bundled
    assert [zoo.recognise(files.sha256(entry.path)) for entry in bundled] == bundled


def test_a_card_of_another_name_than_its_file() -> None:
    entry = put("mine")
    moved = entry.card_path.rename(entry.card_path.with_name("other.toml"))
    expected = f"{moved}: the card is named 'mine'; file and card must agree"
    with pytest.raises(CardError) as caught:
        zoo.find("other")
    assert (str(caught.value), caught.value.path) == (expected, str(moved))
    assert [str(error) for error in zoo.listing().broken] == [expected]
    assert zoo.find(NAME).origin == "pulled", "others can be found by name"


def test_a_broken_card_is_named() -> None:
    entry = put("mine")
    entry.card_path.write_text("name = ")
    with pytest.raises(CardError, match=r"mine\.toml: Invalid value"):
        zoo.find("mine")


def test_a_broken_card_costs_its_own_model_alone() -> None:
    before = zoo.entries()
    entry = put("mine")
    entry.card_path.write_text("name = ")
    found = zoo.listing()
    assert found.entries == zoo.entries() == before
    assert [error.path for error in found.broken] == [str(entry.card_path)]
    assert zoo.recognise("0" * 64) is None
    with pytest.raises(UnknownModelError, match="did you mean digits_xs_int8"):
        zoo.find("digits_xs_int9")


def test_folders(home: Path) -> None:
    assert (zoo.pulled_dir(), zoo.added_dir()) == (home / "cache" / "models", home / "data" / "models")
    assert sorted(folder.name for folder in zoo.samples_dir().iterdir()) == list("0123456789")
