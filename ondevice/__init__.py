"""Run CNNs on the phone or in the cloud: convert, measure, serve and choose per request."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ondevice import _checkout  # noqa: F401  # first: it finds the rooms that are imported below
from ondevice._version import __version__

if TYPE_CHECKING:
    from ondevice.answer import Answer, Outcome, Prediction
    from ondevice.client.aio import AsyncOffloadClient
    from ondevice.client.offload import OffloadClient
    from ondevice.errors import OnDeviceError
    from ondevice.runner import Runner

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
_MODULES = {
    "Answer": "ondevice.answer",
    "AsyncOffloadClient": "ondevice.client.aio",
    "OffloadClient": "ondevice.client.offload",
    "OnDeviceError": "ondevice.errors",
    "Outcome": "ondevice.answer",
    "Prediction": "ondevice.answer",
    "Runner": "ondevice.runner",
}
# What `import ondevice` loaded in version 0.1.0, and programs may use without importing it.
_LOADED_BY_0_1_0 = ("answer", "errors", "image", "models", "preprocess", "runner", "runtime", "trial")


def __getattr__(name: str) -> Any:
    """What is exported, when it is asked for: numpy and Pillow take a quarter of a second, in which the command line
    could not say a word to Ctrl-C.
    """
    if name in _LOADED_BY_0_1_0:
        import_module("ondevice.runner")  # with it came the rooms' own modules, such as `ondevice.models.zoo`
        return import_module(f"ondevice.{name}")
    if name in _MODULES:
        return getattr(import_module(_MODULES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
