"""A model's accuracy, given or measured: it goes into the card, by which the model is chosen and told of."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from offloading import labelled
from refusals import one_line

from ondevice import intake
from ondevice.models import zoo
from ondevice.models.card import Accuracy
from ondevice.models.overrides import Overrides

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
ADD = ("--labels", "digits", "--range=-1,1", "--crop", "1")


def test_it_is_given_when_a_model_is_added(cli: Cli, stranger: Path) -> None:
    done = cli("models", "add", stranger, "--name", "mine", *ADD, "--top1", "0.71")
    assert done.returncode == 0
    assert zoo.find("mine").card.accuracy == Accuracy(0.71, "as given to `ondevice models add`")
    (row,) = [row for row in json.loads(cli("models", "list", "--format", "json").stdout) if row["name"] == "mine"]
    assert row["top1"] == 0.71
    cli("models", "add", stranger, "--name", "mine", *ADD, "--top1", 0.72, "--accuracy-data", "its authors", "--force")
    assert zoo.find("mine").card.accuracy == Accuracy(0.72, "its authors")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("--top1", "71"), "--top1 is a share from 0 to 1, such as 0.71, not 71"),
        (("--top1=-0.1",), "--top1 is a share from 0 to 1, such as 0.71, not -0.1"),
        (("--top1", "nan"), "--top1 is a share from 0 to 1, such as 0.71, not nan"),
        (("--accuracy-data", "photos"), "--accuracy-data says on what --top1 was measured: give --top1 too"),
    ],
)
def test_what_is_none_is_refused(cli: Cli, stranger: Path, given: tuple[str, ...], said: str) -> None:
    done = cli("models", "add", stranger, *ADD, *given)
    assert one_line(done, 2) == f"ondevice: error: {said}"


def test_it_is_measured_and_written_into_the_card(cli: Cli, stranger: Path, tmp_path: Path) -> None:
    before = intake.add(stranger, "mine", Overrides("digits", (-1.0, 1.0), crop=1.0)).card
    assert before.accuracy is None
    done = cli("evaluate", "mine", labelled(tmp_path), "--update-card", "--format", "json")
    assert done.returncode == 0
    (row,) = json.loads(done.stdout)
    card = zoo.find("mine").card
    assert card.accuracy is not None
    assert (card.accuracy.top1, card.accuracy.top5) == pytest.approx((row["top1"], row["top5"]), abs=1e-6)
    assert card.accuracy.data == f"8 pictures of labelled, by `ondevice evaluate` with {row['runtime']}"
    assert f"mine.toml: top1 {card.accuracy.top1:.4f}, 8 pictures of labelled" in done.stderr


def test_a_figure_from_more_pictures_is_replaced_only_if_that_is_meant(
    cli: Cli, stranger: Path, tmp_path: Path
) -> None:
    published = Accuracy(0.9, "50,000 pictures, published")
    intake.add(stranger, "mine", Overrides("digits", (-1.0, 1.0), crop=1.0), accuracy=published)
    update = ("evaluate", "mine", labelled(tmp_path), "--update-card")
    said = (
        "the card has top1 0.9 (50,000 pictures, published), which may rest on more than these 8: --force replaces it"
    )
    assert one_line(cli(*update), 2) == f"ondevice: error: {said}"
    done = cli(*update, "--force")
    assert done.returncode == 0
    assert done.stderr.endswith("; before: 0.9000, 50,000 pictures, published\n")
    assert (measured := zoo.find("mine").card.accuracy) is not None
    assert measured.n == 8
    assert "of 8 pictures, more than these 5" in one_line(cli(*update, "--limit", 5), 2)
    assert cli(*update).returncode == 0, "as many pictures as before"


def test_a_card_does_not_get_the_accuracy_of_a_model_fed_otherwise(cli: Cli, stranger: Path, tmp_path: Path) -> None:
    intake.add(stranger, "mine", Overrides("digits", (-1.0, 1.0), crop=1.0))
    said = one_line(cli("evaluate", "mine", labelled(tmp_path), "--update-card", "--range", "0,1"), 2)
    assert "--update-card measures a model as its card describes it: leave --labels, --range and the like out" in said


def test_without_being_asked_to_it_writes_nothing(cli: Cli, stranger: Path, tmp_path: Path) -> None:
    intake.add(stranger, "mine", Overrides("digits", (-1.0, 1.0), crop=1.0))
    assert cli("evaluate", "mine", labelled(tmp_path)).returncode == 0
    assert zoo.find("mine").card.accuracy is None


def test_a_card_that_is_not_the_users_is_told_of_before_anything_is_measured(cli: Cli, stranger: Path) -> None:
    for model, said in (("digits_xs_fp32", "is part of ondevice and stays"), (stranger, "has no card")):
        done = cli("evaluate", model, "nowhere", "--update-card")
        assert said in one_line(done, 2)


def test_where_no_picture_can_be_read_the_card_stays(cli: Cli, stranger: Path, tmp_path: Path) -> None:
    known = intake.add(stranger, "mine", Overrides("digits", (-1.0, 1.0), crop=1.0), accuracy=Accuracy(0.7, "known"))
    (tmp_path / "bad" / "7").mkdir(parents=True)
    (tmp_path / "bad" / "7" / "a.png").write_bytes(b"no picture")
    done = cli("evaluate", "mine", tmp_path / "bad", "--update-card", "--force", "--confusion", tmp_path / "m.csv")
    assert done.returncode != 0
    assert not (tmp_path / "m.csv").exists()
    assert "no picture could be read" in done.stderr
    assert zoo.find("mine") == known
