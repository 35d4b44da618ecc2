"""What a worker could not do, as a reply: the error's words, and what kind it is."""

from __future__ import annotations

from ondevice.cloud.backends.workers.frames import Message
from ondevice.errors import ImageError, ModelError, ModelFaultError, ModelLoadError, OnDeviceError, PictureMemoryError

# The narrower before those that they are of.
_KINDS: dict[str, type[ImageError] | type[ModelError]] = {
    "memory": PictureMemoryError,
    "image": ImageError,
    "load": ModelLoadError,
    "fault": ModelFaultError,
    "model": ModelError,
}


def told(error: OnDeviceError) -> Message:
    """The reply. An error of no other kind is the model's."""
    kind = next((kind for kind, known in _KINDS.items() if isinstance(error, known)), "model")
    return {"error": str(error), "kind": kind}


def read(reply: Message) -> OnDeviceError | None:
    """The error that a reply tells of, without its model or picture; None where all went well."""
    return _KINDS[reply["kind"]](str(reply["error"]), "") if "error" in reply else None
