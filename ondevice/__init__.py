"""Run CNNs on the phone or in the cloud: convert, measure, serve and choose per request."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ondevice import _checkout  # noqa: F401  # first: it finds the rooms that are imported below
from ondevice._version import __version__
from ondevice.answer import Answer, Outcome, Prediction
from ondevice.errors import OnDeviceError
from ondevice.runner import Runner

if TYPE_CHECKING:
    from ondevice.client.aio import AsyncOffloadClient
    from ondevice.client.offload import OffloadClient

__all__ = [
    "Answer",
    "AsyncOffloadClient",
    "OffloadClient",
    "OnDeviceError",
    "Outcome",
    "Prediction",
    "Runner",
    "__version__",
]
_CLIENTS = {"AsyncOffloadClient": "ondevice.client.aio", "OffloadClient": "ondevice.client.offload"}


def __getattr__(name: str) -> Any:
    """A client, when it is asked for: both stand on top of this package, and not every user needs them."""
    if name in _CLIENTS:
        return getattr(import_module(_CLIENTS[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
