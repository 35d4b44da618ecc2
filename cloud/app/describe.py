"""What the service says of itself: models, choices and results as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from ondevice.cloud.app.directory import Directory
from ondevice.cloud.backends.backend import Backend, InferenceResult
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.select.choice import Choice
from ondevice.cloud.select.selector import Selector
from ondevice.protocol import cnnselect
from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.served import ServedModel

EXTENSIONS = (
    "binary_tensor_data", "classification", "model_configuration", "model_repository", "parameters", "statistics",
    cnnselect.NAME,
)  # fmt: skip
# The states as Triton's repository index has them, and the reason.
_READY, _NOT_READY = ("READY", ""), ("UNAVAILABLE", "not ready")
_STATES = {
    ModelState.AVAILABLE: _READY,
    ModelState.LOADING: ("LOADING", ""),
    ModelState.FAILING: ("UNAVAILABLE", "failing: it is tried again"),
    ModelState.GONE: ("UNAVAILABLE", "unloaded"),
}
_IMAGE = TensorMetadata(cnnselect.IMAGE, "BYTES", (1,)).as_json()
_ANSWER = [
    TensorMetadata(cnnselect.LABEL, "BYTES", (-1,)).as_json(),
    TensorMetadata(cnnselect.SCORE, "FP32", (-1,)).as_json(),
    TensorMetadata(cnnselect.INDEX, "INT32", (-1,)).as_json(),
]


def model(backend: Backend, served: ServedModel) -> dict[str, Any]:
    """A model's metadata: its native tensors; among the parameters those that a picture goes by instead."""
    parameters = {
        cnnselect.IMAGE: {"inputs": [_IMAGE], "outputs": _ANSWER},
        "top1": served.top1,
        "accuracy_data": served.accuracy_data,
        "precision": served.precision,
        "background": served.background,
        "profile": profile(backend, served),
        "labels": list(served.labels),
        "crop": served.crop,
    }
    if served.uploads:
        parameters[cnnselect.UPLOADS] = asdict(served.uploads)
    return {
        "name": served.name,
        "versions": [cnnselect.VERSION],
        "platform": "tflite" if served.where == "local" else "oip",
        "inputs": [served.input.as_json()],
        "outputs": [served.output.as_json()],
        "parameters": parameters,
    }


def virtual(selector: Selector, directory: Directory) -> dict[str, Any]:
    """The metadata of the model that chooses, with the profiles of all that it chooses among, and what can be sent.

    One that stands at several places has one profile, of the place that is expected to answer first; `places` has all.
    """
    everywhere = directory.chosen()
    chosen = [places[0] for places in everywhere.values()]
    parameters: dict[str, Any] = {
        "policy": selector.rules.policy,
        "sla_ms": selector.rules.sla_ms,
        "anytime": selector.rules.anytime,
        "picture_side": max(max(served.input.shape[1:]) for _, served in chosen) if chosen else 0,
        "top1": {served.name: served.top1 for _, served in chosen},
        "profiles": [profile(backend, served) for backend, served in chosen],
        "places": {name: [_place(*one) for one in places] for name, places in everywhere.items() if len(places) > 1},
    }
    if uploads := selector.available.uploads.published(list(everywhere)):
        parameters[cnnselect.UPLOADS] = uploads
    return {
        "name": cnnselect.NAME,
        "versions": [cnnselect.VERSION],
        "platform": "ondevice",
        "inputs": [_IMAGE],
        "outputs": _ANSWER,
        "parameters": parameters,
    }


def _place(backend: Backend, served: ServedModel) -> dict[str, Any]:
    """One of several places of a model: the backend's name, the accuracy there, and the times."""
    return {"where": backend.name, "top1": served.top1, **profile(backend, served)}


def index(places: Iterable[tuple[Backend, ServedModel]], choosing: bool) -> list[dict[str, Any]]:
    """The models, as Triton's repository index lists them; one at several servers is ready if it is at any.

    choosing: whether there is any that can be chosen.
    """
    rows = {cnnselect.NAME: _row(cnnselect.NAME, *(_READY if choosing else _NOT_READY))}
    for backend, served in places:
        state = backend.state(served.name)
        told = _NOT_READY if state is ModelState.AVAILABLE and not backend.ready() else _STATES[state]
        if told == _READY or served.name not in rows:
            rows[served.name] = _row(served.name, *told)
    return list(rows.values())


def _row(name: str, state: str, reason: str) -> dict[str, Any]:
    return {"name": name, "version": cnnselect.VERSION, "state": state, "reason": reason}


def choice(made: Choice) -> dict[str, Any]:
    """A decision alone; it is among models of known accuracy."""
    return {
        cnnselect.SELECTED_MODEL: made.served.name,
        cnnselect.POLICY: made.policy,
        cnnselect.BUDGET_MS: round(made.budget_ms, 3),
        "expected_ms": {"mean": round(made.mean_ms, 3), "p90": round(made.p90_ms, 3)},
        "probability_on_time": round(made.probability_on_time, 4),
        cnnselect.EXPECTED_TOP1: made.problem.expected_top1(made.served),
    }


def result(made: Choice, served: ServedModel, got: InferenceResult) -> dict[str, Any]:
    """The parameters of a reply; expected_top1 is left out where it is not known, for a parameter cannot be null."""
    top1 = made.problem.expected_top1(served)
    known = {} if top1 is None else {cnnselect.EXPECTED_TOP1: top1}
    return {
        cnnselect.SELECTED_MODEL: got.model,
        cnnselect.POLICY: made.policy,
        cnnselect.BUDGET_MS: round(made.budget_ms, 3),
        cnnselect.QUEUE_MS: round(got.queue_ms, 3),
        cnnselect.DECODE_MS: round(got.decode_ms, 3),
        cnnselect.INFER_MS: round(got.infer_ms, 3),
        **known,
    }


def profile(backend: Backend, served: ServedModel) -> dict[str, Any]:
    """A model's times here, as `ondevice.timing.profile` has them."""
    record = asdict(backend.times.profile(served.name))
    return {key: _rounded(value) for key, value in record.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    return [_rounded(v) for v in value] if isinstance(value, tuple) else value
