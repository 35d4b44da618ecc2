"""How often each model was asked and how long that took, as Triton's statistics extension has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from time import time
from typing import Any

from ondevice.cloud.backends.backend import InferenceResult
from ondevice.protocol import cnnselect


@dataclass(slots=True)
class _ModelCounts:
    """Of one model. Times are sums over its answers, or over what failed; last: when it last answered, by time()."""

    answers: int = 0
    failures: int = 0
    answers_ms: float = 0.0
    failures_ms: float = 0.0
    queue_ms: float = 0.0
    decode_ms: float = 0.0
    infer_ms: float = 0.0
    last: float = 0.0

    def add(self, result: InferenceResult, server_ms: float) -> None:
        self.answers += 1
        self.answers_ms += server_ms
        self.queue_ms += result.queue_ms
        self.decode_ms += result.decode_ms
        self.infer_ms += result.infer_ms
        self.last = time()

    def fail(self, server_ms: float) -> None:
        self.failures += 1
        self.failures_ms += server_ms

    def as_json(self, name: str) -> dict[str, Any]:
        prepared, inferred = _duration(self.answers, self.decode_ms), _duration(self.answers, self.infer_ms)
        # What comes after the inference is not measured by itself: it is in `success`, and in none of its parts.
        finished, none = _duration(self.answers, 0.0), _duration(0, 0.0)
        parts = {"compute_input": prepared, "compute_infer": inferred, "compute_output": finished}
        return {
            "name": name,
            "version": cnnselect.VERSION,
            "last_inference": int(self.last * 1e3),
            "inference_count": self.answers,
            "execution_count": self.answers,
            "inference_stats": {
                "success": _duration(self.answers, self.answers_ms),
                "fail": _duration(self.failures, self.failures_ms),
                "queue": _duration(self.answers, self.queue_ms),
                **parts,
                "cache_hit": none,
                "cache_miss": none,
            },
            "response_stats": {},
            "batch_stats": [{"batch_size": 1, **parts}] if self.answers else [],
            "memory_usage": [],
        }


class Statistics:
    """Of the models of these names; of the one that chooses, all that it was asked, whichever answered."""

    def __init__(self, models: Sequence[str]) -> None:
        self._models = {name: _ModelCounts() for name in models}

    def answered(self, asked: str, result: InferenceResult, server_ms: float, first: bool) -> None:
        """A model has answered what was asked by this name, so long after the request was whole.

        first: whether no other has answered that request.
        """
        self._models[result.model].add(result, server_ms)
        if first and asked != result.model:
            self._models[asked].add(result, server_ms)

    def failed(self, asked: str, server_ms: float) -> None:
        """What was asked by this name has no answer; of a name that nothing has nothing is kept."""
        if asked in self._models:
            self._models[asked].fail(server_ms)

    def as_json(self, *models: str) -> dict[str, Any]:
        """As Triton has it, of these models, which there must be, or of all."""
        return {"model_stats": [self._models[name].as_json(name) for name in models or self._models]}


def _duration(count: int, total_ms: float) -> dict[str, int]:
    return {"count": count, "ns": round(total_ms * 1e6)}
