"""Run CNNs on the phone or in the cloud: convert, measure, serve and choose per request."""

from typing import TYPE_CHECKING, Any

from ondevice import _checkout  # noqa: F401  # first: it finds the rooms that are imported below
from ondevice._version import __version__
from ondevice.answer import Answer, Outcome, Prediction
from ondevice.errors import OnDeviceError
from ondevice.runner import Runner

if TYPE_CHECKING:
    from ondevice.client.offload import OffloadClient

__all__ = ["Answer", "OffloadClient", "OnDeviceError", "Outcome", "Prediction", "Runner", "__version__"]


def __getattr__(name: str) -> Any:
    """The client, when it is asked for: it stands on top of this package, and not every user needs it."""
    if name == "OffloadClient":
        from ondevice.client.offload import OffloadClient

        return OffloadClient
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
