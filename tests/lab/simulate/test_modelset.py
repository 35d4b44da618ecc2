"""Model sets: published figures, saved profiles, what is chosen of them, the times drawn, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulating import SMALL, authors, small

from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.simulate.modelset import EVERY_MODEL, ModelFilter, find, patterns, told_apart
from ondevice.models import zoo
from ondevice.timing import profile
from ondevice.timing.profile import Profile

TWO_PLACES = "model,top1_percent,gpu_mean_ms,gpu_std_ms,cpu_mean_ms,cpu_std_ms\na,50,1,0.1,10,1\nb,70.5,2,0.2,20,2\n"


def written(folder: Path, content: str, name: str = "some.csv") -> str:
    path = folder / name
    path.write_text(content)
    return str(path)


def saved(folder: Path, *models: str) -> str:
    """Profiles of these models: 5 and 15 ms, each half of the time."""
    samples = [5.0] * 50 + [15.0] * 50
    return written(folder, profile.dumps([Profile.of(m, samples, "here", "x", 1) for m in models]), "some.json")


def test_published_figures(tmp_path: Path) -> None:
    found = find(written(tmp_path, TWO_PLACES) + ":cpu")
    assert found.name == "some:cpu"
    assert found.models.names == ("a", "b")
    assert found.models.top1.tolist() == [0.5, 0.705]
    assert found.models.mean_ms.tolist() == [10, 20]
    assert found.models.std_ms.tolist() == [1, 2]
    assert found.models.quantiles_ms[:, 10].tolist() == [10, 20]
    assert len(find(written(tmp_path, SMALL))) == 3


def test_the_authors_models(data: Path) -> None:
    models = authors(data).models
    assert len(models) == 11
    assert models.names[int(models.top1.argmax())] == "nasnet_large"


def test_saved_profiles_have_the_zoo_s_accuracies(tmp_path: Path) -> None:
    found = find(saved(tmp_path, "digits_s_int8", "digits_m_int8"))
    accuracy = zoo.find("digits_s_int8").card.accuracy
    assert accuracy is not None
    assert found.models.top1[0] == accuracy.top1
    assert found.models.mean_ms.tolist() == [10, 10]


def test_sets_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
    texts = [*(written(tmp_path / folder, SMALL) for folder in "ab"), written(tmp_path, SMALL, "other.csv")]
    sets = told_apart({text: find(text) for text in texts})
    assert [each.name for each in sets] == ["a/some.csv", "b/some.csv", "other"]


def test_what_is_kept(tmp_path: Path) -> None:
    path = written(tmp_path, SMALL)
    assert find(path, ModelFilter(("*s*",))).models.names == ("fast", "slow")
    assert find(path, ModelFilter((), ("slow",))).models.names == ("fast", "middle")
    assert find(path, ModelFilter(("fast", "slow"), ("f*",))).models.names == ("slow",)
    assert find(path, ModelFilter((), ("slow",))).top1["slow"] == 0.8
    assert patterns(["a, b", "c"]) == ("a", "b", "c")


def test_normal_times(tmp_path: Path) -> None:
    models, rng = small(tmp_path), np.random.default_rng(0)
    times_ms = models.times_ms(models.noise(100_000, rng), np.array(2))
    assert times_ms.mean() == pytest.approx(40, abs=0.1)
    assert times_ms.std() == pytest.approx(4, abs=0.1)
    assert models.times_ms(np.array([[0.0], [-99.0]]), np.arange(3)).tolist() == [[10, 20, 40], [0, 0, 0]]


def test_profiled_times_are_as_measured(tmp_path: Path) -> None:
    models, rng = find(saved(tmp_path, "digits_s_int8")), np.random.default_rng(0)
    times_ms = models.times_ms(models.noise(100_000, rng), np.array(0))
    # All but the two twentieths around the middle, which are uniform between the two.
    assert ((times_ms < 5.1).mean(), (times_ms > 14.9).mean()) == pytest.approx((0.45, 0.45), abs=0.01)
    assert times_ms.mean() == pytest.approx(10, abs=0.1)


def test_one_outlier_does_not_move_the_mean(tmp_path: Path) -> None:
    samples = [10.0] * 999 + [1000.0]
    path = written(tmp_path, profile.dumps([Profile.of("digits_s_int8", samples, "here", "x", 1)]), "some.json")
    models = find(path)
    assert models.models.quantiles_ms[0, -1] == 1000
    times_ms = models.times_ms(models.noise(100_000, np.random.default_rng(0)), np.array(0))
    assert times_ms.mean() == pytest.approx(np.mean(samples), rel=0.02)


def test_times_are_drawn_at_the_ends_of_a_profile(tmp_path: Path) -> None:
    models = find(saved(tmp_path, "digits_s_int8"))
    assert models.times_ms(np.array([0.0, np.nextafter(1, 0)]), np.array(0)) == pytest.approx([5, 15])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "line 1: the heading has no `model`"),
        ("model,top1,mean_ms,std_ms\n", "has no models"),
        ("model,mean_ms,std_ms\na,1,1\n", "line 1: the heading has no `model`, or neither `top1`"),
        ("model,top1,mean_ms\na,0.5,1\n", "no pair of columns"),
        ("model,top1,mean_ms,std_ms\na,0.5,1,1\n\nb,0.5,,1\n", "line 4: b has no mean_ms; fill it in"),
        ("model,top1,mean_ms,std_ms\na,0.5\n", "line 2: a has no mean_ms"),
        ("model,top1,mean_ms,std_ms\na,0.5,1,-1\n", "line 2: a: std_ms is a number from 0, not '-1'"),
        ("model,top1,mean_ms,std_ms\na,0.5,nan,1\n", "line 2: a: mean_ms is a number"),
        ("model,top1,mean_ms,std_ms\na,0.5,inf,1\n", "line 2: a: mean_ms is a number"),
        ("model,top1,mean_ms,std_ms\na,50,1,1\n", "line 2: a: top1 is a number from 0 to 1, not '50'"),
        ("model,top1_percent,mean_ms,std_ms\na,101,1,1\n", "from 0 to 100, not '101'"),
        ("model,top1,mean_ms,std_ms\na,0.5,1,1\na,0.5,1,1\n", "line 3: a stands there again"),
        ("model,top1,mean_ms,std_ms\n,0.5,1,1\n", "line 2: a model without a name"),
        ('model,top1,mean_ms,std_ms\n"a,0.5,1,1\n', "give a CSV"),
    ],
)
def test_a_file_that_is_no_set_says_its_line(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(OnDeviceError, match=said):
        find(written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "some.json"),
        ("[1]", "some.json"),
        ('[{"model": 1}]', "ondevice bench MODEL --save"),
        ("[]", "it has no profiles; write one with `ondevice bench"),
    ],
)
def test_a_file_that_holds_no_profiles(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(OnDeviceError, match=said):
        find(written(tmp_path, content, "some.json"))


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "picture.csv").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(OnDeviceError, match="is not a text file"):
        find(str(tmp_path / "picture.csv"))
    for name in ("nowhere.csv", ""):
        with pytest.raises(UsageError, match="give a CSV of models, or the profiles"):
            find(str(tmp_path / name))


def test_a_place_has_to_be_named_where_there_are_several(tmp_path: Path) -> None:
    path = written(tmp_path, TWO_PLACES)
    with pytest.raises(UsageError, match=r"give .*:gpu or .*:cpu"):
        find(path)
    with pytest.raises(UsageError, match=r"no place in .* 'gpi'; did you mean gpu"):
        find(path + ":gpi")


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (ModelFilter((), ("*",)), "no model is left of 3"),
        (ModelFilter(("fsat",)), "no model in .* 'fsat'; did you mean fast"),
        (ModelFilter(("mobile*",)), "no model matches 'mobile.*it has fast, middle, slow"),
        (ModelFilter((), ("mobile*",)), "no model matches"),
        (ModelFilter(("digits_s_int8",)), "digits_s_int8 has no profile in .*`ondevice bench digits_s_int8 --save"),
    ],
)
def test_a_choice_that_leaves_nothing(tmp_path: Path, choice: ModelFilter, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        find(written(tmp_path, SMALL), choice)


def test_a_model_without_a_profile_says_how_to_get_one() -> None:
    with pytest.raises(UsageError, match=r"`ondevice bench digits_s_int8 --save FILE\.json`"):
        find("digits_s_int8", EVERY_MODEL)


def test_a_model_without_an_accuracy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match="the accuracy of stranger is not known: `ondevice models add FILE --name stranger --top1 SHARE` says",
    ):
        find(saved(tmp_path, "digits_s_int8", "stranger"))
    assert len(find(saved(tmp_path, "digits_s_int8", "stranger"), ModelFilter((), ("stranger",)))) == 1


def test_input_sides_of_a_csv_and_of_cards(tmp_path: Path) -> None:
    path = tmp_path / "set.csv"
    path.write_text("model,top1,mean_ms,std_ms,side\na,0.5,10,1,128\nb,0.6,12,1,\n")
    assert find(str(path)).sides == {"a": 128}
    path.write_text("model,top1,mean_ms,std_ms,side\na,0.5,10,1,128px\n")
    with pytest.raises(OnDeviceError, match=r"line 2: a: side is a number from 0 to 4096, not '128px'"):
        find(str(path))
    assert find(saved(tmp_path, "digits_m_int8")).sides == {"digits_m_int8": 48}
