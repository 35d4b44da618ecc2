"""One model on this device: answers, batches, recognition, and cards that do not fit."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ondevice import runtime as runtimes
from ondevice.answer import Answer, Outcome, Prediction
from ondevice.errors import CardError, ImageError, ModelError, UnknownModelError, UsageError
from ondevice.image import ImageSource
from ondevice.models import files, zoo
from ondevice.runner import Runner

NAME = "mobilenet_v2_1.0_224_quant"


@pytest.fixture
def path(data: Path) -> Path:
    return data / "tflite" / f"{NAME}.tflite"


@pytest.fixture
def tench(data: Path) -> Path:
    return data / "imagenet" / "n01440764_tench.JPEG"


@pytest.fixture
def runner(path: Path) -> Runner:
    return Runner(path)


def added(path: Path, **changes: Any) -> Path:
    """A copy of `path` of another checksum, in the user's zoo, under the known card with `changes`."""
    copy: Path = zoo.added_dir() / "mine.tflite"
    copy.parent.mkdir(parents=True, exist_ok=True)
    copy.write_bytes(path.read_bytes() + bytes(16))
    known = zoo.find(NAME).card
    values: dict[str, Any] = {
        "name": "mine",
        "sha256": files.sha256(copy),
        "size_bytes": copy.stat().st_size,
        "source": "a test",
    }
    dataclasses.replace(known, **{**values, **changes}).write(copy.with_suffix(".toml"))
    return copy


def test_a_photo_is_classified(runner: Runner, tench: Path) -> None:
    answer = runner.classify(tench)
    assert (answer.index, answer.label) == (0, "tench"), "output 0, background, is not counted"
    assert answer.top[0] == Prediction(answer.index, answer.label, answer.score)
    assert 0.5 < answer.score <= 1
    assert (answer.model, answer.threads, answer.runtime) == (NAME, 1, str(runtimes.get()))
    assert min(answer.decode_ms, answer.invoke_ms) > 0
    assert answer.total_ms >= answer.decode_ms + answer.invoke_ms


@pytest.mark.parametrize(("top", "count"), [(1, 1), (5, 5), (1000, 1000), (10000, 1000)])
def test_top_is_sorted_with_ties_by_index(top: int, count: int, runner: Runner, tench: Path) -> None:
    best = runner.classify(tench, top).top
    assert len(best) == count
    assert [(-p.score, p.index) for p in best] == sorted((-p.score, p.index) for p in best)
    assert all(p.label == runner.labels.names[p.index] for p in best)
    if count == 1000:
        assert sorted(p.index for p in best) == list(range(1000))
        assert len({p.score for p in best}) < 1000, "the case needs ties"
    assert best[0] == runner.classify(tench, 1).top[0]


def test_ties_at_the_cut_go_to_the_lower_index(runner: Runner) -> None:
    stored = np.zeros(1001, np.uint8)
    stored[[0, 11, 501, 301, 901]] = (255, 7, 7, 9, 7)
    assert [p.index for p in runner.best(stored, 3)] == [300, 10, 500]
    assert [p.index for p in runner.best(stored, 6)] == [300, 10, 500, 900, 0, 1]


@pytest.mark.parametrize("scores", [[math.nan] * 1001, [0.5] * 1000 + [math.nan]], ids=["all", "one"])
def test_scores_that_are_no_numbers_are_an_error(scores: list[float], runner: Runner) -> None:
    with pytest.raises(ModelError, match=r"\.tflite: one of its scores is not a number"):
        runner.best(np.array(scores, np.float32), 5)


@pytest.mark.parametrize("top", [0, -1])
def test_top_below_one(top: int, runner: Runner, tench: Path) -> None:
    with pytest.raises(UsageError, match=rf"^top must be 1 or more, not {top}$"):
        runner.classify(tench, top)


def test_a_known_model_is_recognised_under_another_name(path: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "something else.bin"
    renamed.write_bytes(path.read_bytes())
    runner = Runner(str(renamed))
    assert (runner.name, runner.background, len(runner.labels)) == (NAME, True, 1000)
    assert runner.card == zoo.find(NAME).card
    assert not runner.description.assumed_range


def test_a_card_beside_a_file_counts_before_that_of_its_copy_in_the_zoo(path: Path, tmp_path: Path) -> None:
    here = tmp_path / "here.tflite"
    here.write_bytes(added(path).read_bytes())
    assert Runner(here).name == "mine"
    dataclasses.replace(zoo.find("mine").card, name="here").write(here.with_suffix(".toml"))
    assert (Runner(here).name, Runner("mine").name) == ("here", "mine")


def test_an_output_of_another_size_than_the_file_says_is_an_error(runner: Runner, tench: Path) -> None:
    runner.model.executable.run = lambda tensors: [np.zeros((0, 1001), np.uint8)]  # type: ignore[method-assign]
    with pytest.raises(ModelError, match=r"it gave 0 scores instead of 1001: convert it with a fixed batch of one$"):
        runner.classify(tench)


def test_bad_pictures_of_a_batch_cost_themselves_alone(runner: Runner, tench: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.jpg"
    text.write_text("no picture")
    outcomes = list(runner.classify_each([tench, "gone.png", text, tench.read_bytes(), np.zeros((9, 9), float)], 2))
    assert [o.ok for o in outcomes] == [True, False, False, True, False]
    assert [o.image for o in outcomes[:3]] == [str(tench), "gone.png", str(text)]
    assert outcomes[0].get().top == outcomes[3].get().top
    assert len(outcomes[0].get().top) == 2
    with pytest.raises(ImageError, match=r"^gone\.png: no such file$") as caught:
        outcomes[1].get()
    assert caught.value is outcomes[1].result


def test_batches_are_lazy(runner: Runner, tench: Path) -> None:
    def pictures() -> Iterator[ImageSource]:
        yield tench
        pytest.fail("the second picture was asked for")

    assert isinstance(next(runner.classify_each(pictures())).result, Answer)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="looks for open files in Linux's /proc")
def test_keeping_the_outcomes_keeps_no_files_open(runner: Runner, tench: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(tench.read_bytes()[:3000])
    outcomes = list(runner.classify_each([cut] * 20))
    assert not any(o.ok for o in outcomes)
    assert cut.resolve() not in {link.resolve() for link in Path("/proc/self/fd").iterdir()}


def test_an_outcome_without_answer_raises_its_error() -> None:
    error = ImageError("x: no such file", "x")
    outcome = Outcome("x", error)
    assert not outcome.ok
    with pytest.raises(ImageError) as caught:
        outcome.get()
    assert caught.value is error


def test_an_added_card_is_used(path: Path, tench: Path) -> None:
    added(path)
    runner = Runner("mine")
    assert runner.name == "mine"
    assert runner.classify(tench).label == "tench"


def test_a_card_of_another_size(path: Path) -> None:
    wrong = dataclasses.replace(zoo.find(NAME).card.input, height=192)
    copy = added(path, input=wrong)
    for model in ("mine", copy):
        with pytest.raises(
            CardError, match=r"mine\.toml: the model's input is 224 x 224 x 3, the card says otherwise$"
        ):
            Runner(model)


def test_a_card_with_another_number_of_labels(path: Path) -> None:
    added(path, labels="digits")
    with pytest.raises(CardError, match=r"the model has 1001 outputs, label list 'digits' 10 names and a background$"):
        Runner("mine")


def test_a_card_that_forgets_the_background(path: Path) -> None:
    added(path, background=False)
    with pytest.raises(CardError, match=r"1001 outputs, label list 'imagenet' 1000 names$"):
        Runner("mine")


def test_a_card_without_its_label_file(path: Path) -> None:
    added(path, labels="gone.txt")
    with pytest.raises(CardError, match=r"^no label list 'gone\.txt'"):
        Runner("mine")


def test_a_named_model_must_be_the_file_of_its_card(path: Path) -> None:
    with added(path).open("ab") as file:
        file.write(b"x")
    with pytest.raises(
        ModelError, match=r"^mine: .* is not the file that its card describes: add it again with `[^`]*`$"
    ):
        Runner("mine")


def test_an_unknown_file_is_fed_and_named_by_its_metadata(path: Path, tench: Path, tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.tflite"
    unknown.write_bytes(path.read_bytes() + bytes(16))
    runner = Runner(unknown)
    assert (runner.name, runner.card, runner.background) == ("unknown", None, True)
    assert len(runner.labels) == 1000
    assert (runner.input.mean, runner.input.std) == ((128,), (128,))  # pixels as they are stored
    assert (runner.classify(tench).index, runner.classify(tench).label) == (0, "tench, Tinca tinca")


@pytest.mark.parametrize("model", ["gone.tflite", "folder/name"])
def test_missing_files(model: str) -> None:
    with pytest.raises(ModelError, match=rf"^{model}: no such file$") as caught:
        Runner(model)
    assert caught.value.model == model


def test_unknown_names_have_neighbours() -> None:
    with pytest.raises(UnknownModelError, match=f"did you mean {NAME}") as caught:
        Runner("mobilenet_v2_1.0_224_qant")
    assert caught.value.nearest[0] == NAME


def test_two_runners_in_two_threads_answer_as_one(path: Path, data: Path) -> None:
    photos = sorted((data / "imagenet").glob("*.JPEG"))[:12]
    alone = [Runner(path).classify(p).top for p in photos]
    results: list[list[tuple[Prediction, ...]]] = [[], []]

    def work(mine: list[tuple[Prediction, ...]]) -> None:
        runner = Runner(path)
        mine.extend(runner.classify(p).top for p in photos)

    workers = [threading.Thread(target=work, args=(result,)) for result in results]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert results == [alone, alone]


def test_threads_change_nothing_in_the_answer(path: Path, tench: Path) -> None:
    one, two = (Runner(path, threads=n).classify(tench) for n in (1, 2))
    assert (two.threads, two.top) == (2, one.top)


def test_a_bundled_model_reads_its_samples() -> None:
    runner = Runner("digits_m_int8")
    samples = sorted(zoo.samples_dir().glob("*/*.png"))
    right = [runner.classify(p).label == p.parent.name for p in samples]
    assert len(right) >= 100
    assert sum(right) / len(right) > 0.9


def test_a_file_without_metadata_numbers_its_classes(stranger: Path, sample: Path) -> None:
    runner = Runner(stranger)
    assert runner.labels.names == tuple(f"class {i}" for i in range(10))
    assert runner.description.assumed_range
    assert not runner.background
    assert runner.classify(sample).label.startswith("class ")


def test_a_value_range_is_assumed_only_where_the_file_gives_none(stranger: Path, data: Path, tmp_path: Path) -> None:
    told = tmp_path / "told.tflite"
    told.write_bytes((data / "tflite" / "mobilenet_v1_0.25_128_quant.tflite").read_bytes() + b"\0")
    assert Runner(stranger).description.assumed_range is True
    assert Runner(told).description.assumed_range is False
    assert Runner("digits_xs_fp32").description.assumed_range is False
