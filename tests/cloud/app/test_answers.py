"""Several answers to one request, from models given here, in the order in which they come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest

from ondevice.cloud.app.answers import answers
from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.select.choice import Choice
from ondevice.errors import OnDeviceError, ServeError
from ondevice.protocol.served import Work

TOP1 = {"small": 0.5, "middle": 0.7, "large": 0.9}
WORK = Work(b"", True, 5, False, 0.0)
Lost = list[tuple[str, str]]


class Runs:
    """Models that end when they are told to, with what they are told."""

    def __init__(self) -> None:
        self.ends: dict[str, asyncio.Future[None]] = {}
        self.cancelled: list[str] = []

    async def run(self, ticket: Ticket) -> InferenceResult:
        model = ticket.model
        self.ends[model] = asyncio.get_running_loop().create_future()
        try:
            await self.ends[model]
        except asyncio.CancelledError:
            self.cancelled.append(model)
            raise
        return InferenceResult(model, [(1, 0.5)])

    def choices(self) -> list[Choice]:
        """One of each model."""
        return [
            cast(Choice, SimpleNamespace(backend=self, served=SimpleNamespace(name=name), top1=top1))
            for name, top1 in TOP1.items()
        ]


def played(*course: Callable[[Runs], Any], wanted: int = 9) -> tuple[list[str], Runs, Lost]:
    """The models that answer while these things happen one after the other, as far as so many are wanted."""

    async def play() -> tuple[list[str], Runs, Lost]:
        runs, lost, found = Runs(), Lost(), []

        async def drive() -> None:
            for step in course:
                await asyncio.sleep(0.005)
                step(runs)

        def failed(choice: Choice, error: OnDeviceError) -> None:
            lost.append((choice.served.name, str(error)))

        turns = [(choice, Ticket(choice.served.name, WORK)) for choice in runs.choices()]
        several, driving = answers(turns, failed), asyncio.ensure_future(drive())
        async for answer in several:
            found.append(answer.result.model)
            if len(found) == wanted:
                break
        await several.aclose()
        await asyncio.sleep(0)
        driving.cancel()
        return found, runs, lost

    return asyncio.run(play())


def ends(*models: str) -> Callable[[Runs], None]:
    return lambda runs: [runs.ends[model].set_result(None) for model in models] and None


def fails(model: str, error: OnDeviceError) -> Callable[[Runs], None]:
    return lambda runs: runs.ends[model].set_exception(error)


def test_each_answer_is_better_than_the_one_before() -> None:
    assert played(ends("small"), ends("middle"), ends("large"))[0] == ["small", "middle", "large"]


def test_what_is_no_better_is_not_waited_for() -> None:
    found, runs, _ = played(ends("middle"), ends("large"))
    assert found == ["middle", "large"]
    assert runs.cancelled == ["small"]
    found, runs, _ = played(ends("large"))
    assert found == ["large"]
    assert sorted(runs.cancelled) == ["middle", "small"]


def test_of_those_that_are_there_at_once_only_the_best() -> None:
    assert played(ends("small", "large", "middle"))[0] == ["large"]


def test_whoever_has_enough_lets_the_others_go() -> None:
    found, runs, _ = played(ends("small"), wanted=1)
    assert found == ["small"]
    assert sorted(runs.cancelled) == ["large", "middle"]


def test_one_that_fails_is_told_and_the_others_go_on() -> None:
    found, _, lost = played(fails("small", ServeError("it died")), ends("middle"), fails("large", ServeError("too")))
    assert found == ["middle"]
    assert lost == [("small", "it died"), ("large", "too")]


def test_where_all_fail_the_last_error_is_raised() -> None:
    course = [fails(model, ServeError("no answer")) for model in TOP1]
    with pytest.raises(ServeError, match="no answer"):
        played(*course)
