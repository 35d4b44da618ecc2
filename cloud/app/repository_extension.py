"""The models as Triton's model repository extension has them: listed, loaded and unloaded."""

from __future__ import annotations

from ondevice.cloud.app import describe, responses
from ondevice.cloud.app.calls import Call
from ondevice.cloud.app.directory import Directory
from ondevice.cloud.app.messages import Response
from ondevice.cloud.select.selector import Selector
from ondevice.errors import ModelError


class RepositoryExtension:
    """Of the selector's models, all of them in the directory."""

    def __init__(self, selector: Selector, directory: Directory) -> None:
        self._selector, self._directory = selector, directory

    async def index(self, call: Call) -> Response:
        """Each model with its state."""
        return responses.of(describe.index(self._directory, self._selector.available.any_but(())))

    async def load(self, call: Call) -> Response:
        """Load a model wherever it is."""
        try:
            for backend, served in self._directory.everywhere(call.model):
                await backend.load(served.name)
        except ModelError as error:
            call.fields["error"] = str(error)
            return responses.refused(503, f"{call.model} cannot be loaded: the server's log says why")
        return responses.YES

    async def unload(self, call: Call) -> Response:
        """Unload a model wherever it is."""
        for backend, served in self._directory.everywhere(call.model):
            backend.unload(served.name)
        return responses.YES
