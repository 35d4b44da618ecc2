"""Every error that ondevice raises on purpose.

::

    OnDeviceError
    ├── UsageError            the call itself is wrong (the command line exits 2, else 1)
    ├── ImageError            one picture cannot be read; carries `.source`
    ├── ModelError            a model file cannot be used; carries `.model`
    │   ├── UnknownModelError     no such name in the zoo; carries `.nearest`
    │   └── HostileModelError     the file killed the process that tried it
    ├── CardError             a model card or label list is malformed; carries `.path`
    ├── BenchError            a measurement failed: its process died, or did not fit into its memory
    ├── ConvertError          a network could not be converted, or what came of it is not the same network
    ├── ServeError            the endpoint cannot serve: it cannot start, or one request cannot be answered
    │   ├── RefusedError          it cannot be answered in time; carries `.retry_after_s`
    │   ├── WorkerDiedError       the process that had it ended
    │   └── UpstreamError         another server did not answer as it should; carries `.failure`
    ├── OffloadError          neither the cloud nor the device has an answer; carries `.failure`
    ├── ProtocolError         a message is no valid OIP
    ├── EmulationError        this host cannot emulate that device with that model, or cannot be calibrated now
    ├── DownloadError         a file could not be fetched whole and verified; carries `.source`
    └── MissingError          something has to be installed first

A message is one line that says what is wrong and what to do about it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class OnDeviceError(Exception):
    """The base of all errors raised on purpose."""


class UsageError(OnDeviceError):
    """What was asked for cannot be asked for."""


class ImageError(OnDeviceError):
    """One picture cannot be read; the rest of a batch can."""

    def __init__(self, message: str, source: Any) -> None:
        super().__init__(message)
        self.source = source


class ModelError(OnDeviceError):
    """A model file is missing, malformed, or no image classifier."""

    def __init__(self, message: str, model: str) -> None:
        super().__init__(message)
        self.model = model


class UnknownModelError(ModelError):
    """No model of this name; `nearest` are the names most like it, best first."""

    def __init__(self, message: str, model: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(message, model)
        self.nearest = tuple(nearest)


class HostileModelError(ModelError):
    """The file killed, or hung, the child process in which it was tried."""


class CardError(OnDeviceError):
    """A model card, or the label list it names, is malformed."""

    def __init__(self, message: str, path: str) -> None:
        super().__init__(message)
        self.path = path


class DownloadError(OnDeviceError):
    """A file could not be fetched whole and verified; nothing was put in place."""

    def __init__(self, message: str, source: str) -> None:
        super().__init__(message)
        self.source = source


class BenchError(OnDeviceError):
    """A measurement failed; nothing of it can be trusted."""


class ConvertError(OnDeviceError):
    """A network could not be converted; nothing was put in place."""


class ServeError(OnDeviceError):
    """The endpoint cannot start, or cannot answer one request though nothing is wrong with it."""


class RefusedError(ServeError):
    """A request cannot be answered in time; it may be, after `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class WorkerDiedError(ServeError):
    """A worker process ended with a request in its hands."""


class UpstreamError(ServeError):
    """Another server, to which work was forwarded, did not answer as it should.

    failure: `refused` (no connection), `cut` (it was lost), `late`, `denied` (it wants a token), `rejected` (it finds
    what was sent wrong), `busy` (it has no time for it), `missing` (no such path or model), `untrusted` (its
    certificate), or `wrong` (any other status, or no valid answer).
    """

    def __init__(self, message: str, failure: str) -> None:
        super().__init__(message)
        self.failure = failure


class OffloadError(OnDeviceError):
    """Neither the cloud nor the device has an answer. failure: what became of the cloud, as UpstreamError has it."""

    def __init__(self, message: str, failure: str) -> None:
        super().__init__(message)
        self.failure = failure


class ProtocolError(OnDeviceError):
    """A message of the Open Inference Protocol is malformed, or cannot be written in it."""


class EmulationError(OnDeviceError):
    """The host cannot stand in for the device: it is slower, busy, or nothing is published of such models on it."""


class MissingError(OnDeviceError):
    """A runtime or an extra is not installed; the message has the command that installs it."""
