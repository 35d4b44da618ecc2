"""What an endpoint that is well says of its models, and answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from rude import Asked, http

from ondevice.protocol.metadata import ModelMetadata
from ondevice.protocol.response import encode_response
from ondevice.protocol.tensor import Tensor
from ondevice.timing.profile import Profile

INFER_MS, TOP1 = 5.0, 0.9


def profile(model: str, mean_ms: float, spread_ms: float = 1.0) -> dict[str, Any]:
    """A model's times, uniform around the mean, as they stand in JSON."""
    samples_ms = np.linspace(mean_ms - spread_ms, mean_ms + spread_ms, 21).tolist()
    return asdict(Profile.of(model, samples_ms, "host", "litert", 1))


def metadata(models: Mapping[str, tuple[float, float]] = {"one": (TOP1, INFER_MS)}, **more: Any) -> dict[str, Any]:
    """What `cnnselect` says of these models: accuracy and mean time, ms. more: further parameters."""
    profiles = [profile(name, mean_ms) for name, (_, mean_ms) in models.items()]
    top1 = {name: accuracy for name, (accuracy, _) in models.items()}
    return {"name": "cnnselect", "parameters": {"policy": "effective", "top1": top1, "profiles": profiles, **more}}


def described(models: Mapping[str, tuple[float, float]] = {"one": (TOP1, INFER_MS)}, **more: Any) -> ModelMetadata:
    """The metadata of `cnnselect` for these models, as they are read."""
    return ModelMetadata.parse(metadata(models, **more))


def answer(index: int = 7, **parameters: Any) -> dict[str, Any]:
    """What an endpoint answers to a picture."""
    told = {"selected_model": "one", "expected_top1": TOP1, "queue_ms": 0.5, "decode_ms": 0.5, "infer_ms": INFER_MS}
    outputs = [
        Tensor.of("label", [b"that", b"other"]),
        Tensor.of("score", np.array([0.75, 0.25], np.float32)),
        Tensor.of("index", np.array([index, 1], np.int32)),
    ]
    body, _ = encode_response("cnnselect", "1", outputs, parameters=told | parameters)
    found: dict[str, Any] = json.loads(body)
    return found


def endpoint(asked: Asked) -> bytes:
    """The reply of an endpoint that is well; its inference takes no time, whatever it says."""
    if asked.path.startswith("/v2/health"):
        return http()
    said = answer() if asked.path.partition("?")[0].endswith("/infer") else metadata()
    return http(json.dumps(said).encode())
