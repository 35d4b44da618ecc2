"""What the service says of models and results, as JSON."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.app import describe
from ondevice.cloud.backends.backend import Backend, InferenceResult
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.select.choice import Choice
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.served import ServedModel

TENSOR = TensorMetadata.of("in", (1, 2, 2, 1), np.dtype(np.uint8))
PROBLEM = SimpleNamespace(expected_top1=lambda served: served.top1)
CHOICE = cast(Choice, SimpleNamespace(policy="named", budget_ms=100.0, problem=PROBLEM))


def model(name: str = "net", top1: float | None = 0.9) -> ServedModel:
    return ServedModel(name, ("cat", "dog"), top1, "", "int8", 1000, "here", TENSOR, TENSOR)


@pytest.mark.parametrize(("top1", "said"), [(0.9, {"expected_top1": 0.9}), (0.0, {"expected_top1": 0.0}), (None, {})])
def test_an_accuracy_that_is_not_known_is_left_out_of_a_result(top1: float | None, said: dict[str, float]) -> None:
    found = describe.result(CHOICE, model(top1=top1), InferenceResult("net", []))
    assert {key: found[key] for key in found if key == "expected_top1"} == said
    assert None not in found.values()


class Place:
    """A backend that says these states of its models. up: whether it can be asked at all."""

    def __init__(self, up: bool = True, **states: ModelState) -> None:
        self._up, self._states = up, states

    def ready(self) -> bool:
        return self._up

    def state(self, name: str) -> ModelState:
        return self._states[name]


def indexed(*places: Place, choosing: bool = True) -> dict[str, Any]:
    pairs = [(cast(Backend, place), model(name)) for place in places for name in place._states]
    return {row["name"]: (row["state"], row["reason"]) for row in describe.index(pairs, choosing)}


def test_the_index_says_what_each_model_is_and_why() -> None:
    found = indexed(Place(**{state.name.lower(): state for state in ModelState}))
    assert found == {
        "cnnselect": ("READY", ""),
        "available": ("READY", ""),
        "loading": ("LOADING", ""),
        "failing": ("UNAVAILABLE", "failing: it is tried again"),
        "gone": ("UNAVAILABLE", "unloaded"),
    }


def test_without_a_worker_no_model_is_ready_and_without_a_model_there_is_nothing_to_choose() -> None:
    found = indexed(Place(up=False, net=ModelState.AVAILABLE), choosing=False)
    assert found == {"cnnselect": ("UNAVAILABLE", "not ready"), "net": ("UNAVAILABLE", "not ready")}


def test_a_model_at_several_servers_is_ready_if_it_is_at_any() -> None:
    for places in ([ModelState.GONE, ModelState.AVAILABLE], [ModelState.AVAILABLE, ModelState.FAILING]):
        assert indexed(*(Place(net=state) for state in places))["net"] == ("READY", "")
