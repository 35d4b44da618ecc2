"""The models as Triton's model repository extension has them: listed, loaded and unloaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ondevice.cloud.app import describe, request_parameters, responses
from ondevice.cloud.app.calls import Call
from ondevice.cloud.app.directory import Directory
from ondevice.cloud.app.messages import Response
from ondevice.cloud.select.selector import Selector
from ondevice.errors import ModelError, ProtocolError
from ondevice.protocol.message import checked_flag

# What unloading may be told: whether what depends on the model goes too, and nothing does.
_DEPENDENTS = "unload_dependents"


class RepositoryExtension:
    """Of the selector's models, all of them in the directory."""

    def __init__(self, selector: Selector, directory: Directory) -> None:
        self._selector, self._directory = selector, directory

    async def index(self, call: Call) -> Response:
        """Each model with its state, or those that are ready."""
        asked = request_parameters.of_body(call.request.body)
        request_parameters.check_names(asked, ("ready",))
        rows = describe.index(self._directory, self._selector.available.any_but(()))
        return responses.of([row for row in rows if row["state"] == "READY"] if _flag(asked, "ready") else rows)

    async def load(self, call: Call) -> Response:
        """Load a model wherever it is."""
        given = ", ".join(name or "''" for name in _parameters(call))
        if given:
            raise ProtocolError(
                f"{given[:100]} cannot be given: a model is loaded from the file that it was started with; "
                "load it without parameters"
            )
        try:
            for backend, served in self._directory.everywhere(call.model):
                await backend.load(served.name)
        except ModelError as error:
            call.fields["error"] = str(error)
            return responses.refused(503, f"{call.model} cannot be loaded: the server's log says why")
        return responses.YES

    async def unload(self, call: Call) -> Response:
        """Unload a model wherever it is."""
        given = _parameters(call)
        request_parameters.check_names(given, (_DEPENDENTS,))
        _flag(given, _DEPENDENTS)
        for backend, served in self._directory.everywhere(call.model):
            backend.unload(served.name)
        return responses.YES


def _parameters(call: Call) -> Mapping[str, Any]:
    """What is said of a model's loading or unloading. Raises ProtocolError."""
    asked = request_parameters.of_body(call.request.body)
    request_parameters.check_names(asked, ("parameters",))
    found = asked.get("parameters")
    if found is not None and not isinstance(found, dict):
        raise ProtocolError("'parameters' is not an object")
    return found or {}


def _flag(asked: Mapping[str, Any], name: str) -> bool:
    """What is not said is not wanted. Raises ProtocolError."""
    value = asked.get(name)
    return value is not None and checked_flag(value, name)
