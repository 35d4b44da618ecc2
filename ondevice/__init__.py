"""Run CNNs on the phone or in the cloud: convert, measure, serve and choose per request."""

from ondevice._version import __version__
from ondevice.answer import Answer, Outcome, Prediction
from ondevice.errors import OnDeviceError
from ondevice.runner import Runner

__all__ = ["Answer", "OnDeviceError", "Outcome", "Prediction", "Runner", "__version__"]
