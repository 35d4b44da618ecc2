"""Models of one's own: what must be said of them, what is kept, and how they leave."""

from __future__ import annotations

import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from ondevice import Runner, intake
from ondevice.errors import CardError, ModelError, UnknownModelError, UsageError
from ondevice.models import files, registry, zoo
from ondevice.models.card import Accuracy, Card
from ondevice.models.overrides import Overrides

pytestmark = pytest.mark.usefixtures("tried")
Cli = Callable[..., "subprocess.CompletedProcess[str]"]
LIKE = "digits_xs_fp32"
PULLABLE = "mobilenet_v1_0.25_128_quant"
NAMES = tuple(f"name {i}" for i in range(10))
HOW = Overrides("digits", (-1.0, 1.0), crop=1.0)


def kept() -> list[str]:
    folder = zoo.added_dir()
    return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []


def text(folder: Path, *names: str) -> str:
    """A label file; gives its path."""
    path = folder / "names.txt"
    path.write_text("\n".join([*names, ""]), encoding="utf-8")
    return str(path)


def with_labels(model: Path, *names: str) -> Path:
    with zipfile.ZipFile(model, "a") as archive:
        archive.writestr(zipfile.ZipInfo("labels.txt"), "\n".join([*names, ""]))
    return model


def test_an_added_model_answers_as_the_bundled_one(stranger: Path, sample: Path) -> None:
    entry = intake.add(stranger, "mine", HOW)
    content = stranger.read_bytes()
    stranger.unlink()
    assert (entry.path.read_bytes(), kept()) == (content, ["mine.tflite", "mine.toml"])
    mine, bundled = Runner("mine"), Runner(LIKE)
    assert mine.classify(sample, 10).top == bundled.classify(sample, 10).top
    assert (mine.entry, mine.input, mine.background) == (entry, bundled.input, False)


def test_its_card_says_what_is_known(stranger: Path) -> None:
    card = intake.add(stranger, "mine", Overrides("digits", (0, 255)), licence="CC0").card
    like = zoo.find(LIKE).card.input
    assert card == Card.read(zoo.added_dir() / "mine.toml")
    assert (card.precision, card.labels, card.licence, card.source) == (
        "fp32", "digits", "CC0", "added from stranger.tflite",
    )  # fmt: skip
    assert (card.size_bytes, card.sha256) == (stranger.stat().st_size, files.sha256(stranger))
    assert (card.input.height, card.input.width, card.input.channels) == (like.height, like.width, like.channels)
    assert (card.input.mean, card.input.std, card.input.crop) == ((0,), (1,), 1.0)
    assert card.sources == {
        "size": "network itself", "range": "flag", "background": "convention", "labels": "flag", "crop": "convention",
        "colours": "network itself", "output": "network itself",
    }  # fmt: skip


def test_the_name_is_the_files_own_by_default(stranger: Path) -> None:
    assert intake.add(stranger, None, HOW) == zoo.find("stranger")


def test_its_accuracy_is_what_is_said_of_it(stranger: Path) -> None:
    accuracy = Accuracy(0.71, "a thousand photos")
    assert intake.add(stranger, "mine", HOW, accuracy=accuracy).card.accuracy == accuracy
    assert zoo.find("mine").card.accuracy == accuracy


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        (
            Overrides(value_range=(-1, 1)),
            "has no labels in it or beside it: give --labels imagenet, digits or a text file with one name",
        ),
        (Overrides("digits"), "does not say what values it takes: give --range=-1,1 or --range 0,1 or --range 0,"),
    ],
    ids=["labels", "range"],
)
def test_what_the_file_does_not_say_has_to_be_given(given: Overrides, hint: str, stranger: Path) -> None:
    with pytest.raises(UsageError) as caught:
        intake.add(stranger, "mine", given)
    assert str(caught.value).startswith(f"{stranger} {hint}")
    assert kept() == []


def test_a_label_file_is_kept_beside_the_card(stranger: Path, sample: Path, tmp_path: Path) -> None:
    own = text(tmp_path, *NAMES)
    entry = intake.add(stranger, "mine", Overrides(own, (-1, 1), crop=1.0))
    Path(own).unlink()
    assert (entry.card.labels, entry.card.background) == ("mine.labels.txt", False)
    assert kept() == ["mine.labels.txt", "mine.tflite", "mine.toml"]
    answer = Runner("mine").classify(sample)
    assert answer.label == f"name {Runner(LIKE).classify(sample).index}"


def test_a_label_file_with_wnids_keeps_them(stranger: Path, tmp_path: Path) -> None:
    intake.add(
        stranger, "mine", Overrides(text(tmp_path, *(f"n0000000{i} {name}" for i, name in enumerate(NAMES))), (-1, 1))
    )
    listed = Runner("mine").labels
    assert (listed.names, listed.wnids[9]) == (NAMES, "n00000009")


@pytest.mark.parametrize("names", [("Background", *NAMES[1:]), NAMES[1:]], ids=["named", "left out"])
def test_a_background_class_is_one_that_is_said_to_be(
    names: tuple[str, ...], stranger: Path, sample: Path, tmp_path: Path
) -> None:
    entry = intake.add(stranger, "mine", Overrides(text(tmp_path, *names), (-1, 1), crop=1.0, background=True))
    runner = Runner("mine")
    assert (entry.card.background, runner.labels.names) == (True, NAMES[1:])
    indices = [p.index + 1 for p in Runner(LIKE).classify(sample, 10).top]
    assert [p.index for p in runner.classify(sample, 10).top] == [i - 2 for i in indices if i != 1]


def test_a_class_that_is_called_background_is_one_as_others(stranger: Path, tmp_path: Path) -> None:
    names = ("Background", *NAMES[1:])
    entry = intake.add(stranger, "mine", Overrides(text(tmp_path, *names), (-1, 1)))
    assert (entry.card.background, Runner("mine").labels.names) == (False, names)


@pytest.mark.parametrize("names", [NAMES, ("background", *NAMES[1:])])
def test_labels_in_the_file_are_read(names: tuple[str, ...], stranger: Path, sample: Path) -> None:
    entry = intake.add(with_labels(stranger, *names), "mine", Overrides(value_range=(-1, 1), crop=1.0))
    assert (entry.card.labels, entry.card.background) == ("mine.labels.txt", False)
    assert (zoo.added_dir() / "mine.labels.txt").read_text().splitlines() == [*names]
    runner = Runner("mine")
    assert runner.labels.names == names
    assert len(runner.classify(sample, 10).top) == 10


def test_labels_that_are_given_go_before_those_in_the_file(stranger: Path) -> None:
    assert intake.add(with_labels(stranger, *NAMES), "mine", Overrides("digits", (-1, 1))).card.labels == "digits"


def test_a_file_that_says_everything_needs_nothing(data: Path, tmp_path: Path) -> None:
    path = tmp_path / "quantized.tflite"
    path.write_bytes((data / "tflite" / f"{PULLABLE}.tflite").read_bytes())
    card = intake.add(path).card
    assert (card.name, card.precision, card.background) == ("quantized", "uint8", True)
    assert (card.input.mean, card.input.std) == ((128,), (128,))
    photo = next((data / "imagenet").glob("*.JPEG"))
    assert Runner("quantized").classify(photo).label in Runner(path).labels.names


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (None, "has 10 classes, imagenet 1000 names"),
        (NAMES[:8], "has 10 classes, names.txt 8 names"),
        ((*NAMES, "more"), "has 10 classes, names.txt 11 names"),
    ],
)
def test_another_number_of_labels(names: tuple[str, ...] | None, said: str, stranger: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        intake.add(stranger, "mine", Overrides(text(tmp_path, *names) if names else "imagenet", (-1, 1)))
    assert re.sub(r"/\S*/|\.txt(?= 1000)", "", str(caught.value)).startswith(f"{stranger.name} {said}; ")
    assert kept() == []


@pytest.mark.parametrize(("origin", "name"), [("bundled", LIKE), ("pulled", PULLABLE)])
@pytest.mark.parametrize("force", [False, True])
def test_names_of_the_zoos_own_models_are_taken(force: bool, origin: str, name: str, stranger: Path) -> None:
    with pytest.raises(UsageError, match=rf"^the zoo has a model '{name}' \({origin}\); give another --name$"):
        intake.add(stranger, name, HOW, force=force)
    assert kept() == []


def test_an_added_model_is_replaced_with_force_alone(stranger: Path, tmp_path: Path) -> None:
    first = intake.add(stranger, "mine", Overrides(text(tmp_path, *NAMES), (-1, 1)))
    assert Runner("mine").labels.names == NAMES
    stranger.write_bytes(stranger.read_bytes() + bytes(16))
    own = text(tmp_path, *reversed(NAMES))
    with pytest.raises(UsageError, match=r"'mine' \(added\); give another --name, or --force to replace it$"):
        intake.add(stranger, "mine", Overrides(own, (0, 1)))
    assert (zoo.find("mine"), Runner("mine").labels.names) == (first, NAMES)
    second = intake.add(stranger, "mine", Overrides(own, (0, 1)), force=True)
    assert second.card.sha256 == files.sha256(second.path) != first.card.sha256
    runner = Runner("mine")
    assert (runner.card, runner.labels.names) == (second.card, NAMES[::-1])


@pytest.mark.parametrize("content", [b"", b"not a model" * 100, bytes(4) + b"TFL3" + bytes(100)])
def test_a_malformed_file_is_refused_and_replaces_nothing(content: bytes, stranger: Path, tmp_path: Path) -> None:
    first = intake.add(stranger, "mine", HOW)
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(content)
    with pytest.raises(ModelError, match=r"^[^\n]*bad\.tflite: [^\n]+\Z"):
        intake.add(bad, "mine", HOW, force=True)
    assert zoo.find("mine") == first
    assert files.sha256(first.path) == first.card.sha256


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"gone\.tflite: no such file$"):
        intake.add(tmp_path / "gone.tflite", None, HOW)


@pytest.mark.parametrize("name", ["a/b", "../a", ".hidden", "a b", "é", "x" * 101])
def test_names_that_are_no_file_names(name: str, stranger: Path) -> None:
    with pytest.raises(UsageError, match=r"^'.*' cannot be a model's name: give another, such as --name [a-z]\w*$"):
        intake.add(stranger, name, HOW)
    assert kept() == []


@pytest.mark.parametrize("crop", [0.0, 1.5, float("nan")])
def test_an_impossible_crop(crop: float, stranger: Path) -> None:
    with pytest.raises(UsageError, match=r"crop is over 0 and at most 1$"):
        intake.add(stranger, "mine", Overrides("digits", (-1, 1), crop=crop))


@pytest.mark.parametrize("name", ["\N{GRINNING FACE}.tflite", 'a "b"\n.tflite'])
def test_odd_file_names_leave_a_zoo_that_reads(name: str, stranger: Path) -> None:
    entry = intake.add(stranger.rename(stranger.with_name(name)), "mine", HOW)
    assert [e.card.name for e in zoo.entries() if e.origin == "added"] == ["mine"]
    assert Runner("mine").name == entry.card.name


def test_a_full_or_forbidden_folder_is_one_line(stranger: Path, home: Path) -> None:
    (home / "data").write_text("a file where the folder should be")
    with pytest.raises(Exception, match=rf"^{home / 'data'}[^\n]*: [^\n]+\Z") as caught:
        intake.add(stranger, "mine", HOW)
    assert type(caught.value).__name__ == "OnDeviceError"


def test_an_added_model_is_removed_altogether(stranger: Path, tmp_path: Path) -> None:
    path = intake.add(stranger, "mine", Overrides(text(tmp_path, *NAMES), (-1, 1))).path
    other = intake.add(stranger, "mine-2", Overrides(text(tmp_path, *NAMES), (-1, 1)))
    assert registry.remove("mine") == path
    assert kept() == ["mine-2.labels.txt", "mine-2.tflite", "mine-2.toml"]
    with pytest.raises(UnknownModelError, match=r"did you mean mine-2\?"):
        registry.remove("mine")
    assert zoo.find("mine-2") == other
    assert stranger.is_file()


def test_an_added_model_whose_file_is_gone_can_be_removed(stranger: Path) -> None:
    intake.add(stranger, "mine", HOW).path.unlink()
    registry.remove("mine")
    assert kept() == []


def test_the_labels_must_be_a_list(stranger: Path) -> None:
    with pytest.raises(CardError, match=r"^no label list 'gone\.txt': .*; give digits, imagenet, or a text file"):
        intake.add(stranger, "mine", Overrides("gone.txt", (-1, 1)))


def test_the_commands(cli: Cli, stranger: Path, sample: Path) -> None:
    flags = ("--name", "mine", "--labels", "digits", "--range=-1,1", "--crop", 1)
    added = cli("models", "add", stranger, *flags)
    assert added.returncode == 0
    assert added.stderr == (
        "ondevice: its card says: range -1 to 1, labels digits.txt (10 classes), crop 1 (flag); size 40 x 40 x 1, "
        "colours grey, output a score a class (network itself); background none (convention)\n"
    )
    assert added.stdout == "added mine; try: ondevice run mine PHOTO.jpg\n"
    assert Runner("mine").classify(sample).top == Runner(LIKE).classify(sample).top
    zoo.find("mine").path.unlink()
    assert "path,gone," in cli("models", "show", "mine", "-f", "csv").stdout
    removed = cli("models", "remove", "mine")
    assert (removed.returncode, removed.stdout) == (0, f"removed {zoo.added_dir() / 'mine.tflite'}\n")
    assert kept() == []


def test_sources_that_a_person_wrote_into_a_card_are_kept(cli: Cli, stranger: Path) -> None:
    path = intake.add(stranger, "mine", HOW).path
    card = path.with_suffix(".toml")
    card.write_text(card.read_text().replace('size = "network itself"', 'size = "the paper"\nscores = "flag"'))
    added = cli("models", "add", path, "--name", "other")
    assert (added.returncode, "the paper" in added.stderr) == (0, False)
    shown = cli("models", "show", "other", "-f", "csv").stdout
    assert "size,40 x 40 x 1,card: the paper" in shown


@pytest.mark.parametrize(
    ("flags", "status", "said"),
    [
        (("--range=1,-1",), 2, "the range's low end must be below its high end, not 1,-1"),
        (("--range=0,0",), 2, "the range's low end must be below its high end, not 0,0"),
        (("--range=nan,1",), 2, "the range's low end must be below its high end, not nan,1"),
        (("--range=-inf,1",), 2, "mean and std are finite, std not 0"),
        (("--range=0,1,2",), 2, "--range takes LOW,HIGH, such as --range=-1,1 or --range 0,1, not '0,1,2'"),
        (("--range=wide",), 2, "--range takes LOW,HIGH, such as --range=-1,1 or --range 0,1, not 'wide'"),
        (("--range=0,1", "--name", "a/b"), 2, "'a/b' cannot be a model's name: give another, such as --name a_b"),
        (("--range=0,1", "--labels", "gone.txt"), 1, "give digits, imagenet, or a text file with one name a line"),
        (("--range=0,1", "--labels", "imagenet"), 2, "in the network's order"),
        ((), 2, "give --range=-1,1 or --range 0,1 or --range 0,255, or --mean and --std"),
        (("--mean", "1,x", "--std", "1"), 2, "--mean takes one number, or one a channel, such as 127.5, not '1,x'"),
        (("--mean", "1"), 2, "mean and std are given together"),
        (("--mean", "1", "--std", "1", "--range=0,1"), 2, "a range, or mean and std: both say what becomes of pixels"),
        (("--mean", "1,2", "--std", "1"), 2, "mean and std have one value, or one a channel"),
        (("--range=0,1", "--bgr"), 2, "bgr is for three channels"),
        (("--range=0,1", "--size", "41"), 2, "its input is 40 x 40, so --size 41 x 41 cannot be had"),
        (("--range=0,1", "--size", "x"), 2, "--size takes pixels, such as 224 or 240x320 (height, width), not 'x'"),
    ],
)
def test_wrong_flags_are_one_line(flags: tuple[str, ...], status: int, said: str, cli: Cli, stranger: Path) -> None:
    done = cli("models", "add", stranger, "--labels", "digits", *flags)
    assert (done.returncode, done.stdout) == (status, "")
    assert done.stderr.startswith("ondevice: error: ")
    assert done.stderr.endswith(f"{said}\n")
    assert done.stderr.count("\n") == 1
    assert kept() == []
