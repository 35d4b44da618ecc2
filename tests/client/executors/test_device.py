"""The device as a place to classify: which model fits, what waits, what is cancelled, what cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import engines
import numpy as np
import pytest
from serving import FAMILY, PICTURE, until

from ondevice.answer import Answer
from ondevice.client.executors.attempt import Attempt, Task
from ondevice.client.executors.device import DeviceExecutor, RunOptions, check_runners
from ondevice.client.picture import Picture
from ondevice.errors import ImageError, OnDeviceError, UsageError
from ondevice.models import zoo
from ondevice.runner import Runner
from ondevice.timing.recent import Recent

MODEL = FAMILY[0]
SLA_MS = 1000.0


class Held(Runner):
    """A runner that waits, before each picture but those it is measured with, until it is let go."""

    def __init__(self, model: str) -> None:
        super().__init__(model)
        self.go, self.waiting = threading.Event(), threading.Event()
        self.go.set()

    def classify(self, *arguments: Any) -> Answer:
        self.waiting.set()
        assert self.go.wait(10)
        return super().classify(*arguments)


def task(picture: Any = PICTURE, top: int = 5) -> Task:
    return Task(Picture(picture), SLA_MS, top)


def ended(task: Task) -> Attempt:
    return engines.outcome(task).attempt


def begin(device: DeviceExecutor, task: Task) -> Attempt:
    return engines.on(device.begin, task, RunOptions())


def timed(device: DeviceExecutor, *rows_ms: Sequence[float]) -> DeviceExecutor:
    """With these times instead of the measured ones."""
    for model, row in zip(device.models, rows_ms, strict=True):
        model.times = Recent(row)
    return device


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(MODEL)


@pytest.fixture
def device(runner: Runner) -> Iterator[DeviceExecutor]:
    device = DeviceExecutor([runner])
    yield device
    device.close()


@pytest.fixture
def family() -> Iterator[DeviceExecutor]:
    device = DeviceExecutor([Runner(model) for model in FAMILY])
    yield device
    device.close()


@pytest.fixture
def held() -> Iterator[tuple[DeviceExecutor, Held]]:
    """A device that is taken to need a minute, and does not begin before it is told to."""
    runner = Held(MODEL)
    device = timed(DeviceExecutor([runner]), [60_000.0])
    runner.go.clear()
    runner.waiting.clear()
    yield device, runner
    runner.go.set()
    device.close()


# What it expects of itself


def test_it_has_measured_its_models(family: DeviceExecutor, runner: Runner) -> None:
    assert [model.times.count for model in family.models] == [3] * len(FAMILY)
    assert all(model.times.distribution.mean_ms > 0 for model in family.models)
    assert family.busy_ms == 0
    assert family.wait_ms() == 0
    assert runner.card
    assert runner.card.accuracy
    top1 = [model.top1 for model in family.models]
    assert top1[0] == runner.card.accuracy.top1
    assert top1 == sorted(top1)


def test_a_model_whose_accuracy_nobody_knows_is_worth_nothing(stranger: Path) -> None:
    device = DeviceExecutor([Runner(stranger)])
    assert device.models[0].top1 == 0
    device.close()


def test_the_best_is_the_most_accurate_that_is_sure_to_be_in_time(family: DeviceExecutor) -> None:
    timed(family, [10.0], [20.0], [40.0], [80.0])
    found = [family.best(within_ms) for within_ms in (5.0, 13.4, 13.6, 26.9, 27.1, 60.0, 107.0, 108.1, 1e6)]
    assert found == [0, 0, 0, 0, 1, 2, 2, 3, 3]


def test_the_order_of_the_models_does_not_matter() -> None:
    device = timed(DeviceExecutor([Runner(model) for model in (FAMILY[2], FAMILY[0])]), [40.0], [10.0])
    assert [device.best(within_ms) for within_ms in (20.0, 1000.0)] == [1, 0]
    device.close()


def test_models_of_one_name_are_refused(runner: Runner, tmp_path: Path) -> None:
    other = tmp_path / f"{MODEL}.tflite"
    other.write_bytes(zoo.find(FAMILY[1]).path.read_bytes() + bytes(16))
    with pytest.raises(UsageError, match=f"^two local models are called {MODEL}, "):
        check_runners([runner, Runner(other)])


def test_models_of_other_labels_are_refused(runner: Runner, stranger: Path) -> None:
    with pytest.raises(UsageError, match=f"stranger has other labels than {MODEL}"):
        check_runners([runner, Runner(stranger)])


def test_where_none_is_the_fastest_is_the_best(family: DeviceExecutor) -> None:
    timed(family, [10.0], [7.0], [40.0], [80.0])
    assert family.best(0.0) == 1
    assert family.best(9.0) == 1


def test_the_worst_is_the_longest_of_late_or_what_is_usual_for_a_phone(device: DeviceExecutor) -> None:
    timed(device, [10.0] * 20)
    assert device.models[0].worst_ms == pytest.approx(13.5)
    device.models[0].times.add(50.0)
    assert device.models[0].worst_ms == 50
    for _ in range(60):
        device.models[0].times.add(10.0)
    assert device.models[0].worst_ms == pytest.approx(13.5), "it was long ago"


def test_the_chance_to_be_in_time(device: DeviceExecutor) -> None:
    timed(device, np.linspace(10, 30, 21).tolist())
    chances = [device.models[0].chance(within_ms) for within_ms in range(0, 41)]
    assert chances[:10] == [0] * 10
    assert chances[30:] == [1] * 11
    assert chances[10] > 0
    assert (np.diff(chances) >= 0).all()
    timed(device, [20.0])
    assert [device.models[0].chance(within_ms) for within_ms in (-5.0, 19.9, 20.0)] == [0, 0, 1]


# Running


def test_an_answer(device: DeviceExecutor, runner: Runner) -> None:
    asked = task(top=2)
    attempt = begin(device, asked)
    assert ended(asked) is attempt
    assert attempt.where == "device"
    assert attempt.top1 == device.models[0].top1
    assert isinstance(attempt.result, Answer)
    assert attempt.result.top == runner.classify(PICTURE, 2).top
    assert attempt.result.model == MODEL


def test_it_learns_and_counts_the_time_that_it_worked(device: DeviceExecutor) -> None:
    busy_ms = 0.0
    for count in range(4, 8):
        asked = task()
        begin(device, asked)
        ended(asked)
        until(lambda: device.models[0].times.count == count)  # noqa: B023  # called at once
        assert device.busy_ms > busy_ms
        busy_ms = device.busy_ms


def test_one_after_the_other(held: tuple[DeviceExecutor, Held]) -> None:
    device, runner = held
    asked = [task() for _ in range(3)]
    for one in asked:
        begin(device, one)
    assert runner.waiting.wait(10)
    assert 120_000 < device.wait_ms() <= 180_000
    assert all(one.outcomes.empty() for one in asked)
    runner.go.set()
    attempts = [ended(one) for one in asked]
    assert all(isinstance(attempt.result, Answer) for attempt in attempts)


def test_no_wait_is_left_where_it_took_less_than_expected(held: tuple[DeviceExecutor, Held]) -> None:
    device, runner = held
    asked = [task() for _ in range(3)]
    for one in asked:
        begin(device, one)
    assert device.wait_ms() > 100_000
    runner.go.set()
    for one in asked:
        ended(one)
    until(lambda: device.wait_ms() == 0)


def test_what_is_cancelled_is_skipped_and_its_time_given_back(held: tuple[DeviceExecutor, Held]) -> None:
    device, runner = held
    asked = [task() for _ in range(4)]
    attempts = [begin(device, one) for one in asked]
    assert runner.waiting.wait(10)
    assert device.wait_ms() > 180_000
    for attempt in attempts[1:3]:
        attempt.cancel()
    until(lambda: device.wait_ms() <= 120_000)
    runner.go.set()
    ended(asked[0])
    ended(asked[3])
    until(lambda: device.wait_ms() == 0)
    assert device.models[0].times.count == 3
    assert all(one.outcomes.empty() for one in asked[1:3])
    assert all(attempt.result is None for attempt in attempts[1:3])


def test_what_is_cancelled_while_it_runs_is_finished(held: tuple[DeviceExecutor, Held]) -> None:
    device, runner = held
    asked = task()
    attempt = begin(device, asked)
    assert runner.waiting.wait(10)
    attempt.cancel()
    assert device.wait_ms() > 0, "it cannot be stopped"
    runner.go.set()
    assert isinstance(ended(asked).result, Answer)
    until(lambda: device.wait_ms() == 0)


# What goes wrong


@pytest.mark.parametrize("picture", [b"no picture", "no such file", np.zeros((3, 3), np.float64)], ids=repr)
def test_an_unreadable_picture_is_the_result(device: DeviceExecutor, picture: Any) -> None:
    timed(device, [60_000.0])
    asked = task(picture)
    begin(device, asked)
    assert isinstance(ended(asked).result, ImageError)
    until(lambda: device.wait_ms() == 0)
    assert device.models[0].times.count == 1, "it tells nothing of the model's time"
    good = task()
    begin(device, good)
    assert isinstance(ended(good).result, Answer)


def test_an_unreadable_file_is_named_even_if_its_bytes_were_read_before(device: DeviceExecutor, tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    path.write_bytes(PICTURE[:60])
    asked = task(path)
    assert asked.picture.file
    begin(device, asked)
    result = ended(asked).result
    assert isinstance(result, ImageError)
    assert result.source == path
    assert str(result).startswith(f"{path}: ")


def test_other_errors_of_the_runner_are_the_result(device: DeviceExecutor) -> None:
    asked = task(top=0)
    begin(device, asked)
    assert isinstance(ended(asked).result, UsageError)


def test_errors_that_nobody_expected_are_the_result(device: DeviceExecutor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device.runners[0].model, "invoke", lambda tensor: 1 / 0)
    asked = task()
    begin(device, asked)
    result = ended(asked).result
    assert isinstance(result, OnDeviceError)
    assert str(result) == f"{MODEL}: ZeroDivisionError: division by zero"


def test_closing_finishes_what_was_begun(held: tuple[DeviceExecutor, Held]) -> None:
    device, runner = held
    asked = [task() for _ in range(3)]
    for one in asked:
        begin(device, one)
    assert runner.waiting.wait(10)
    closing = threading.Thread(target=device.close)
    closing.start()
    runner.go.set()
    assert all(isinstance(ended(one).result, Answer) for one in asked)
    closing.join(10)
    assert not closing.is_alive()


def test_a_closed_device_says_so(device: DeviceExecutor) -> None:
    device.close()
    asked = task()
    begin(device, asked)
    assert "closed" in str(ended(asked).result)
    assert device.wait_ms() == 0
