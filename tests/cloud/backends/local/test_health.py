"""Which models can be asked for, by what workers answer; the clock and the answers are given."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable

import pytest
from clock import Clock
from events import Events

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.backends.local.health import Health
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.workers.process import Reply
from ondevice.errors import ModelError, ModelFaultError, ModelLoadError, OnDeviceError, WorkerDiedError

LOAD, FAULT = ModelLoadError("no such file", "a"), ModelFaultError("NaN", "a")


class Told:
    """A `Health` of the models a and b, and all that it says. checks: models that are tried, and the futures."""

    def __init__(self) -> None:
        self.clock, self.events, self.evicted = Clock(), Events(), []  # type: ignore[var-annotated]
        self.checks: list[tuple[str, asyncio.Future[Reply]]] = []
        self.health = Health(["a", "b"], self.clock, self._check, self.evicted.append, self.events)

    @property
    def states(self) -> list[str]:
        return [self.health.state(model).value for model in ("a", "b")]

    async def tried(self, error: OnDeviceError | None, after_s: float = 10.0) -> str:
        """Which model is tried after so long, where this comes of it."""
        self.clock.now_s += after_s
        self.health.tick()
        model, future = self.checks.pop()
        future.set_exception(error) if error else future.set_result(({}, b""))
        await asyncio.sleep(0)
        return model

    def _check(self, model: str) -> asyncio.Future[Reply]:
        self.checks.append((model, asyncio.get_running_loop().create_future()))
        return self.checks[-1][1]


def told(body: Callable[[Told], Awaitable[None]]) -> None:
    async def whole() -> None:
        await body(Told())

    asyncio.run(whole())


def test_what_cannot_be_loaded_is_let_go_and_tried_until_it_can() -> None:
    async def body(told: Told) -> None:
        told.health.failed("a", LOAD)
        assert (told.states, told.evicted) == (["failing", "available"], ["a"])
        told.health.tick()
        assert told.checks == []  # not due yet
        assert await told.tried(LOAD) == "a"
        assert told.states == ["failing", "available"]
        assert await told.tried(None) == "a"
        assert told.states == ["available", "available"]
        assert told.events == [
            ("model failing", {"model": "a", "error": "no such file"}), ("model available", {"model": "a"})
        ]  # fmt: skip

    told(body)


def test_a_model_that_kills_the_worker_that_tries_it_is_failing_still() -> None:
    async def body(told: Told) -> None:
        told.health.failed("a", LOAD)
        await told.tried(WorkerDiedError("SIGBUS"))
        assert told.states == ["failing", "available"]

    told(body)


@pytest.mark.parametrize(
    ("errors", "state"),
    [
        ([FAULT] * 2, ModelState.AVAILABLE),
        ([FAULT] * 3, ModelState.FAILING),
        ([ModelError("a was unloaded", "a")] * 9, ModelState.AVAILABLE),
    ],
)
def test_three_wrong_inferences_in_a_row_count_and_what_says_nothing_of_it_does_not(
    errors: list[OnDeviceError], state: ModelState
) -> None:
    async def body(told: Told) -> None:
        for error in errors:
            told.health.failed("a", error)
        assert told.health.state("a") is state
        assert told.evicted == []  # its file is well

    told(body)


def test_what_a_client_brought_about_with_its_own_numbers_does_not_count() -> None:
    async def body(told: Told) -> None:
        for _ in range(9):
            told.health.failed("a", FAULT, counts=False)
        assert told.states == ["available", "available"]
        told.health.failed("a", LOAD, counts=False)  # that is not the client's doing
        assert told.states == ["failing", "available"]

    told(body)


def test_answers_between_wrong_inferences_clear_it() -> None:
    async def body(told: Told) -> None:
        for _ in range(9):
            told.health.failed("a", FAULT)
            told.health.failed("a", FAULT)
            told.health.succeeded("a")
        assert told.states == ["available", "available"]

    told(body)


def test_what_answers_while_it_is_tried_is_said_to_be_available() -> None:
    async def body(told: Told) -> None:
        told.health.failed("a", LOAD)
        told.clock.now_s += 10.0
        told.health.tick()
        told.health.succeeded("a")
        assert told.states == ["available", "available"]
        told.checks.pop()[1].set_result(({}, b""))
        await asyncio.sleep(0)
        assert told.events.names == ["model failing", "model available"]

    told(body)


def test_what_answers_while_it_is_tried_and_then_fails_that_is_failing_again() -> None:
    async def body(told: Told) -> None:
        told.health.failed("a", LOAD)
        told.clock.now_s += 10.0
        told.health.tick()
        told.health.succeeded("a")
        told.checks.pop()[1].set_exception(FAULT)
        await asyncio.sleep(0)
        assert told.states == ["failing", "available"]
        assert told.health.available == {"b"}
        assert told.events.names == ["model failing", "model available", "model failing"]

    told(body)


@pytest.mark.parametrize("seed", range(20))
def test_those_that_can_be_asked_for_are_those_whose_state_says_so_whatever_happens(seed: int) -> None:
    async def body(told: Told) -> None:
        health, rng = told.health, random.Random(seed)
        happens: list[Callable[[], object]] = [
            lambda: health.succeeded("a"),
            lambda: health.failed("a", LOAD),
            lambda: health.failed("a", FAULT),
            lambda: health.load("a"),
            lambda: health.loaded("a"),
            lambda: health.not_loaded("a", LOAD),
            lambda: health.unload("a"),
            health.tick,
            lambda: told.checks and told.checks.pop()[1].set_result(({}, b"")),
            lambda: told.checks and told.checks.pop()[1].set_exception(FAULT),
        ]
        for event in rng.choices(happens, k=200):
            told.clock.now_s += rng.expovariate(1.0)
            event()
            await asyncio.sleep(0)
            assert ("a" in health.available) == (health.state("a") is ModelState.AVAILABLE)

    told(body)


def test_loading_by_hand() -> None:
    async def body(told: Told) -> None:
        told.health.unload("a")
        assert told.states == ["gone", "available"]
        told.health.load("a")
        assert told.states == ["loading", "available"]
        told.health.not_loaded("a", LOAD)
        assert (told.states, told.evicted) == (["gone", "available"], ["a"])
        told.health.load("a")
        assert told.health.loaded("a")
        assert told.states == ["available", "available"]

    told(body)
