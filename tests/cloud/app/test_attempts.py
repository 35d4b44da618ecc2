"""What becomes of a request whose model fails: who is asked next, and when nobody is."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from clock import Clock

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.app import attempts as module
from ondevice.cloud.app.attempts import Attempts
from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.select.arrival import Arrival
from ondevice.cloud.select.choice import Choice, Place
from ondevice.cloud.select.parameters import RequestParameters
from ondevice.cloud.select.selector import Selector
from ondevice.errors import FailureKind, ImageError, ModelFaultError, ModelLoadError, OnDeviceError, UpstreamError
from ondevice.protocol.served import Work

CLOCK = Clock()
BUDGET_MS = 100.0


class Runs:
    """A backend whose models fail as is given; each attempt takes so long."""

    def __init__(self, *names: str, takes_ms: float = 0.0, **errors: OnDeviceError) -> None:
        self.models = [SimpleNamespace(name=name) for name in names]
        self.errors, self.takes_ms = errors, takes_ms
        self.asked: list[str] = []

    async def run(self, ticket: Ticket) -> InferenceResult:
        model = ticket.model
        self.asked.append(model)
        CLOCK.pass_ms(self.takes_ms)
        if model in self.errors:
            raise self.errors[model]
        return InferenceResult(model, [])


class First:
    """Chooses the first model that is left. taken: by which model the place of another is taken at its turn."""

    def __init__(self, *backends: Runs, **taken: str) -> None:
        self.places = [(backend, row) for backend in backends for row in range(len(backend.models))]
        self.available, self.taken = self, taken

    def any_but(self, without: set[Place]) -> bool:
        return bool(set(self.places) - cast(Any, without))

    def ticket(self, choice: Choice, arrival: Arrival, work: Work, failed: set[Place]) -> Ticket:
        chosen = choice.served.name
        other = self.taken.get(chosen, chosen)
        lost = {backend.models[row].name for backend, row in failed}
        return Ticket(chosen if other in lost else other, work)

    def choose(self, arrival: Arrival, without: object = ()) -> Choice:
        backend, row = next(place for place in self.places if place not in cast(Any, without))
        served = backend.models[row]
        return cast(Choice, SimpleNamespace(backend=backend, served=served, budget_ms=BUDGET_MS))


def ran(*backends: Runs, **taken: str) -> str:
    """Which model answers in the end."""
    selector = cast(Selector, First(*backends, **taken))
    arrival = Arrival(RequestParameters(), 0.0, 0, CLOCK())
    attempts = Attempts(selector, arrival, Work(b"", True, 1, False, CLOCK()), lambda event, **fields: None)
    return asyncio.run(attempts.run(selector.choose(arrival)))[1].model


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "perf_counter", CLOCK)


LOAD, FAULT = ModelLoadError("no such file", "a"), ModelFaultError("NaN", "a")
LOST = UpstreamError("it is gone", FailureKind.CUT)


@pytest.mark.parametrize("error", [LOAD, FAULT])
def test_another_model_answers_for_one_that_fails(error: OnDeviceError) -> None:
    backend = Runs("a", "b", "c", a=error)
    assert ran(backend) == "b"
    assert backend.asked == ["a", "b"]


def test_of_a_server_that_is_lost_no_other_model_is_asked() -> None:
    far, near = Runs("a", "b", a=LOST), Runs("c")
    assert ran(far, near) == "c"
    assert far.asked == ["a"]


@pytest.mark.parametrize("names", [("a", "b", "c"), ("a", "b")])
def test_where_another_took_the_place_of_the_choice_and_failed_the_choice_still_answers(names: tuple[str, ...]) -> None:
    backend = Runs(*names, b=ModelFaultError("NaN", "b"))
    assert ran(backend, a="b") == "a"
    assert backend.asked == ["b", "a"]


def test_an_error_that_names_no_model_is_of_the_one_chosen() -> None:
    backend = Runs("a", "b", a=ModelFaultError("its workers cannot decode this", ""))
    assert ran(backend) == "b"


def test_where_all_fail_the_last_error_is_raised() -> None:
    with pytest.raises(ModelFaultError):
        ran(Runs("a", "b", a=LOAD, b=ModelFaultError("NaN", "b")))


def test_after_its_deadline_a_request_is_tried_once_more_and_not_for_ever() -> None:
    late = Runs("a", "b", "c", takes_ms=BUDGET_MS + 1, a=LOAD, b=ModelLoadError("gone", "b"))
    with pytest.raises(ModelLoadError):
        ran(late)
    assert late.asked == ["a", "b"]
    in_time = Runs("a", "b", "c", takes_ms=BUDGET_MS / 4, a=LOAD, b=ModelLoadError("gone", "b"))
    assert ran(in_time) == "c"


def test_what_is_wrong_with_the_request_is_not_tried_again() -> None:
    backend = Runs("a", "b", a=cast(Any, ImageError("is not a picture", None)))
    with pytest.raises(ImageError):
        ran(backend)
    assert backend.asked == ["a"]
