"""What the server tells of itself: its metadata and its models', its interface, its counters."""

from __future__ import annotations

from ondevice._version import __version__
from ondevice.cloud.app import describe, openapi, responses
from ondevice.cloud.app.calls import Call
from ondevice.cloud.app.directory import Directory
from ondevice.cloud.app.messages import Response
from ondevice.cloud.app.metrics import Metrics
from ondevice.cloud.select.selector import Selector
from ondevice.protocol import cnnselect


class About:
    """Of a server with the selector's models, all of them in the directory, that counts in these metrics."""

    def __init__(self, selector: Selector, directory: Directory, metrics: Metrics) -> None:
        self._selector, self._directory, self._metrics = selector, directory, metrics

    async def server(self, call: Call) -> Response:
        """The server's metadata."""
        extensions = list(describe.EXTENSIONS)
        return responses.of({"name": "ondevice", "version": __version__, "extensions": extensions})

    async def model(self, call: Call) -> Response:
        """A model's metadata."""
        if call.model == cnnselect.NAME:
            return responses.of(describe.virtual(self._selector, self._directory))
        return responses.of(describe.model(*self._directory.find(call.model)))

    async def openapi(self, call: Call) -> Response:
        """All that can be asked, as OpenAPI."""
        return responses.of(openapi.document(self._directory.names))

    async def metrics(self, call: Call) -> Response:
        """What Prometheus scrapes."""
        kind, text = self._metrics.text()
        return Response(200, (("content-type", kind),), text)
