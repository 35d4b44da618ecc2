"""Whether the server, and each of its models, can be asked now."""

from __future__ import annotations

from ondevice.cloud.app import responses
from ondevice.cloud.app.calls import Call
from ondevice.cloud.app.directory import Directory
from ondevice.cloud.app.messages import Response
from ondevice.cloud.select.selector import Selector
from ondevice.protocol import cnnselect

# The protocol wants the status alone; KServe's own server and client want these besides.
_LIVE, _READY = responses.of({"live": True}), responses.of({"ready": True})


class Readiness:
    """Of the selector's models, all of them in the directory. stopping: the server takes no more requests."""

    def __init__(self, selector: Selector, directory: Directory) -> None:
        self._selector, self._directory = selector, directory
        self.stopping = False

    async def live(self, call: Call) -> Response:
        """It is, where this is answered."""
        return _LIVE

    async def ready(self, call: Call) -> Response:
        """Whether any model can be asked."""
        if self.stopping:
            return _no("the server is stopping")
        if not any(backend.ready() for backend in self._selector.backends):
            return _no("no model can be asked now")
        return _READY

    async def model_ready(self, call: Call) -> Response:
        """Whether a model can be asked; of the one that chooses, whether it could choose any."""
        if self.stopping:
            return _no("the server is stopping")
        if call.model == cnnselect.NAME:
            ready = self._selector.available.any_but(())
        else:
            backend, served = self._directory.find(call.model)
            ready = backend.ready() and backend.available(served.name)
        return _READY if ready else _no(f"{call.model} is not ready")


def _no(reason: str) -> Response:
    return responses.refused(503, reason)
