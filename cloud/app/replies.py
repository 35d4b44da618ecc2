"""The answers of models as replies, and what is learned from each of them."""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter

from ondevice.cloud.app import describe, infer, responses
from ondevice.cloud.app.answers import Answered
from ondevice.cloud.app.calls import Call, InferenceCall
from ondevice.cloud.app.directory import Directory
from ondevice.cloud.app.messages import Piece, Response
from ondevice.cloud.app.metrics import Metrics
from ondevice.cloud.app.statistics import Statistics
from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.select.choice import Choice
from ondevice.cloud.select.selector import Selector
from ondevice.protocol import cnnselect, headers

# As responses have them here.
_LENGTH, _TIMING = headers.LENGTH.lower(), headers.TIMING.lower()


class InferenceReplies:
    """Of the selector's models, which it is told the times of; in the metrics and the statistics each is counted."""

    def __init__(self, selector: Selector, directory: Directory, metrics: Metrics, statistics: Statistics) -> None:
        self._selector, self._directory = selector, directory
        self._metrics, self._statistics = metrics, statistics

    def whole(self, asked: InferenceCall, choice: Choice, result: InferenceResult) -> Response:
        """The only answer."""
        body, length = self._encoded(asked, choice, result)
        server_ms = self._observed(asked, choice, result, first=True)
        timing = _timing(
            {
                headers.UPLOAD: asked.call.request.upload_ms,
                headers.QUEUE: result.queue_ms,
                headers.DECODE: result.decode_ms,
                headers.INFER: result.infer_ms,
                headers.TOTAL: server_ms,
            }
        )
        if length is None:
            return Response(200, (responses.JSON, timing), body)
        binary = (("content-type", headers.BINARY), (_LENGTH, str(length)))
        return Response(200, (*binary, timing), body)

    def line(self, asked: InferenceCall, answer: Answered) -> Piece:
        """One of several answers, as a line."""
        choice, result, last = answer
        fields = asked.call.fields
        server_ms = self._observed(asked, choice, result, first="answers" not in fields)
        fields["answers"] = fields.get("answers", 0) + 1
        more = {cnnselect.SERVER_MS: round(server_ms, 3), cnnselect.FINAL: last}
        body, _ = self._encoded(asked, choice, result, more)
        return Piece(body + b"\n", last)

    def head_of_lines(self, asked: InferenceCall) -> tuple[tuple[str, str], ...]:
        """The headers of a reply whose body will be lines."""
        return ("content-type", headers.LINES), _timing({headers.UPLOAD: asked.call.request.upload_ms})

    def none(self, call: Call) -> None:
        """There is no answer."""
        self._statistics.failed(call.model, (perf_counter() - call.request.last_byte) * 1e3)

    def _encoded(
        self, asked: InferenceCall, choice: Choice, result: InferenceResult, more: Mapping[str, float] = {}
    ) -> tuple[bytes, int | None]:
        served = self._directory.at(choice.backend, result.model)
        parameters = {**describe.result(choice, served, result), **more}
        asked.call.fields.update(parameters)
        return infer.encode(asked.call.model, asked.decoded, served, result, parameters)

    def _observed(self, asked: InferenceCall, choice: Choice, result: InferenceResult, first: bool) -> float:
        """Learn from an answer; gives the time since its request was whole, ms."""
        server_ms = (perf_counter() - asked.call.request.last_byte) * 1e3
        late = server_ms > choice.budget_ms
        self._selector.expectations.observe(choice, result, server_ms)
        self._metrics.inference(result, late)
        self._statistics.answered(asked.call.model, result, server_ms, first)
        asked.call.fields["on_time"] = not late
        return server_ms


def _timing(parts_ms: Mapping[str, float]) -> tuple[str, str]:
    return _TIMING, headers.timing(parts_ms)
