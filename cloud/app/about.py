"""What the server tells of itself: its metadata and its models', its interface, its counters."""

from __future__ import annotations

from typing import Any

from ondevice._version import __version__
from ondevice.cloud.app import describe, model_config, openapi, responses
from ondevice.cloud.app.calls import Call
from ondevice.cloud.app.directory import Directory
from ondevice.cloud.app.messages import Response
from ondevice.cloud.app.metrics import Metrics
from ondevice.cloud.app.statistics import Statistics
from ondevice.cloud.select.selector import Selector
from ondevice.protocol import cnnselect


class About:
    """Of a server with the selector's models, all of them in the directory, that counts in these metrics and these
    statistics of models.
    """

    def __init__(self, selector: Selector, directory: Directory, metrics: Metrics, statistics: Statistics) -> None:
        self._selector, self._directory = selector, directory
        self._metrics, self._statistics = metrics, statistics

    async def server(self, call: Call) -> Response:
        """The server's metadata."""
        extensions = list(describe.EXTENSIONS)
        return responses.of({"name": "ondevice", "version": __version__, "extensions": extensions})

    async def model(self, call: Call) -> Response:
        """A model's metadata."""
        return responses.of(self._described(call.model))

    async def config(self, call: Call) -> Response:
        """A model's configuration, as Triton has it."""
        return responses.of(model_config.of(self._described(call.model)))

    async def stats(self, call: Call) -> Response:
        """A model's statistics, as Triton has them."""
        if call.model != cnnselect.NAME:
            self._directory.find(call.model)
        return responses.of(self._statistics.as_json(call.model))

    async def all_stats(self, call: Call) -> Response:
        """The statistics of all models."""
        return responses.of(self._statistics.as_json())

    async def openapi(self, call: Call) -> Response:
        """All that can be asked, as OpenAPI."""
        return responses.of(openapi.document(self._directory.names))

    async def metrics(self, call: Call) -> Response:
        """What Prometheus scrapes."""
        kind, text = self._metrics.text()
        return Response(200, (("content-type", kind),), text)

    def _described(self, model: str) -> dict[str, Any]:
        """Its metadata. Raises NoRouteError."""
        if model == cnnselect.NAME:
            return describe.virtual(self._selector, self._directory)
        return describe.model(*self._directory.find(model))
