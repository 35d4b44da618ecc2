"""What is sent to another process and back: runners by their settings, answers and outcomes whole."""

from __future__ import annotations

import copy
import multiprocessing
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import pytest

from ondevice.answer import Answer, Outcome, Prediction
from ondevice.errors import ImageError, ModelError, UsageError
from ondevice.models import zoo
from ondevice.models.overrides import Overrides
from ondevice.runner import Runner, resolve
from ondevice.runtime import Executable, Model

T = TypeVar("T")
PATIENCE_S = 120.0


def pickled(value: T) -> T:
    return pickle.loads(pickle.dumps(value))  # type: ignore[no-any-return]


ways = pytest.mark.parametrize("way", [pickled, copy.copy, copy.deepcopy])


@ways
def test_a_runner_is_its_settings_loaded_anew(way: Callable[[Runner], Runner], sample: Path) -> None:
    runner = Runner("digits_m_int8", threads=2, runtime="litert", scaled_decode=False)
    made = way(runner)
    assert (made.name, made.model.threads, made.scaled_decode) == ("digits_m_int8", 2, False)
    assert made.model.runtime == runner.model.runtime
    assert made.model.executable is not runner.model.executable
    assert made.classify(sample).top == runner.classify(sample).top


def test_it_is_a_name_and_not_a_model() -> None:
    assert len(pickle.dumps(Runner("digits_l_fp32"))) < 200


def test_what_was_set_since_is_kept() -> None:
    runner = Runner("digits_xs_int8")
    runner.scaled_decode = False
    assert pickled(runner).scaled_decode is False


def test_an_emulated_device_is_emulated_there_too(sample: Path) -> None:
    runner = Runner("digits_xs_fp32", device="pieslicer-phone")
    made = pickled(runner)
    assert made.emulation
    assert runner.emulation
    assert made.emulation.predicted_ms == runner.emulation.predicted_ms
    assert made.classify(sample).device == "pieslicer-phone"
    assert pickled(runner.model).threads == runner.model.threads


@pytest.mark.usefixtures("tried")
def test_a_file_is_found_from_another_folder_and_so_are_its_labels(
    stranger: Path, tmp_path: Path, sample: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("names.txt").write_text("".join(f"class {number}\n" for number in range(10)))
    runner = Runner(stranger.name, overrides=Overrides(labels="names.txt", value_range=(0.0, 1.0)))
    expected, kept = runner.classify(sample), pickle.dumps(runner)
    monkeypatch.chdir("/")
    made = pickle.loads(kept)
    assert made.classify(sample).top == expected.top
    assert made.description.input == runner.description.input
    assert made.labels.names[3] == "class 3"


def test_what_was_found_already_is_not_looked_for_again(sample: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = Runner(resolve("digits_s_int8"))
    kept = pickle.dumps(runner)
    monkeypatch.setattr(zoo, "locate", None)
    assert pickle.loads(kept).classify(sample).top == runner.classify(sample).top


def test_a_model_that_is_not_there_is_told_where_it_is_unpickled(stranger: Path) -> None:
    kept = pickle.dumps(Model(stranger))
    stranger.unlink()
    with pytest.raises(ModelError, match=r"stranger\.tflite"):
        pickle.loads(kept)


@ways
def test_an_executable_is_its_file_threads_and_shapes(way: Callable[[Executable], Executable], tmp_path: Path) -> None:
    from tflite import colours

    executable = Executable(colours(tmp_path / "free.tflite", (1, -1, -1, 3)), 2, shapes=[(1, 24, 40, 3)])
    made = way(executable)
    assert (made.threads, made.inputs, made.outputs) == (2, executable.inputs, executable.outputs)
    picture = [np.ones((1, 24, 40, 3), np.float32)]
    np.testing.assert_array_equal(made.run(picture)[0], executable.run(picture)[0])


@ways
def test_answers_and_outcomes_are_whole(way: Callable[[object], object], sample: Path) -> None:
    answer = Runner("digits_xs_int8").classify(sample)
    assert way(answer) == answer
    assert type(way(answer.top[0])) is Prediction
    outcome = Outcome(str(sample), answer)
    assert way(outcome) == outcome
    failed = way(Outcome("a.png", ImageError("a.png: it is empty", "a.png")))
    assert isinstance(failed, Outcome)
    assert not failed.ok
    with pytest.raises(ImageError, match="it is empty") as caught:
        failed.get()
    assert caught.value.source == "a.png"


def test_another_process_is_given_a_runner_and_gives_answers_and_errors_back(sample: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty.png"
    empty.touch()
    runner = Runner("digits_xs_int8")
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        answer = pool.apply_async(Runner.classify, (runner, sample)).get(PATIENCE_S)
        assert isinstance(answer, Answer)
        assert answer.top == runner.classify(sample).top
        with pytest.raises(ImageError, match="empty") as image:
            pool.apply_async(Runner.classify, (runner, empty)).get(PATIENCE_S)
        assert image.value.source == empty
        with pytest.raises(UsageError, match="top must be 1"):
            pool.apply_async(Runner.classify, (runner, sample, 0)).get(PATIENCE_S)
