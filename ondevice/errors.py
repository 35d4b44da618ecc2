"""Every error that ondevice raises on purpose.

::

    OnDeviceError
    ├── UsageError                the call itself is wrong (the command line exits 2, else 1)
    │   └── UnlabelledError           pictures without any sign of what they show
    ├── ImageError                one picture cannot be read; carries `.source`
    │   └── PictureMemoryError        it is whole, and there is not enough memory to decode it now
    ├── ModelError                a model file cannot be used; carries `.model`
    │   ├── UnknownModelError         no such name in the zoo; carries `.nearest`
    │   ├── NotClassifierError        the file runs, and computes something else than the classes of a picture
    │   ├── HostileModelError         the file killed the process that tried it
    │   ├── ModelLoadError            a worker of the endpoint could not load it
    │   └── ModelFaultError           it is loaded, and does not compute what a classifier does
    ├── CardError                 a model card or label list is malformed; carries `.path`
    ├── DownloadError             a file could not be fetched whole and verified; carries `.source`
    ├── MissingError              something has to be installed first; carries `.missing`
    ├── EmulationError            this host cannot stand in for that device, or not now
    ├── BenchError                a measurement failed; carries `.model`
    ├── ConvertError              a network could not be converted, or what came of it is not the same network
    ├── ProtocolError             a message is not valid OIP
    ├── NoRouteError              a request to the endpoint names no path of it; carries `.status` and `.allowed`
    ├── ServeError                the endpoint cannot serve: it cannot start, or one request cannot be answered
    │   ├── RefusedError              it cannot be answered now; carries `.retry_after_s` and `.for_time`
    │   └── WorkerDiedError           the process that had it ended
    └── RemoteError               there is no answer from elsewhere; carries `.failure`, a FailureKind
        ├── UpstreamError             a server did not answer as it should; carries `.retry_after_ms` and `.for_time`
        └── OffloadError              neither the cloud nor the device has an answer

A message is one line that says what is wrong and what to do about it.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any


class FailureKind(enum.StrEnum):
    """Why there is no answer from a server. It stands here, and not in `protocol`, for errors carry it.

    Each is equal to its text: `error.failure == "late"`.
    """

    # No connection to it can be made.
    REFUSED = "refused"
    # The connection was lost.
    CUT = "cut"
    LATE = "late"
    # It wants a token, or another one.
    DENIED = "denied"
    # It finds what was sent wrong.
    REJECTED = "rejected"
    # It has no time for it now.
    BUSY = "busy"
    # It has no such path, or no such model.
    MISSING = "missing"
    # Its certificate is not to be trusted.
    UNTRUSTED = "untrusted"
    # Its answer is not a valid one, or has a status that is none of these.
    WRONG = "wrong"


# What a server that is not there ends in.
LOST = (FailureKind.REFUSED, FailureKind.CUT, FailureKind.LATE)
# What says nothing of what it was asked: the server is not there, does not let us in, or is not the one it should be.
UNREACHED = (*LOST, FailureKind.DENIED, FailureKind.UNTRUSTED)


class OnDeviceError(Exception):
    """The base of all errors raised on purpose. Pickled or copied they keep all that they carry."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Python's own way back, from the message alone, fails for those that are given more.
        return _restored, (type(self), self.args, self.__dict__)


def _restored(kind: type[OnDeviceError], args: tuple[Any, ...], carried: dict[str, Any]) -> OnDeviceError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(carried)
    return error


class UsageError(OnDeviceError):
    """What was asked for cannot be asked for."""


class UnlabelledError(UsageError):
    """Nothing says what classes pictures are of: no folders, no table."""


@contextmanager
def naming(what: str) -> Iterator[None]:
    """Have a UsageError that is raised inside begin with what it is about, such as the flag that gave a value."""
    try:
        yield
    except UsageError as error:
        raise UsageError(f"{what} {error}") from error


class ImageError(OnDeviceError):
    """One picture cannot be read; the rest of a batch can."""

    def __init__(self, message: str, source: Any) -> None:
        super().__init__(message)
        self.source = source


class PictureMemoryError(ImageError):
    """A picture could not be decoded for want of memory, which says nothing against the picture."""


class ModelError(OnDeviceError):
    """A model file is missing, malformed, or not an image classifier."""

    def __init__(self, message: str, model: str) -> None:
        super().__init__(message)
        self.model = model


class UnknownModelError(ModelError):
    """No model of this name; `nearest` are the names most like it, best first."""

    def __init__(self, message: str, model: str, nearest: Sequence[str] = ()) -> None:
        super().__init__(message, model)
        self.nearest = tuple(nearest)


class NotClassifierError(ModelError):
    """A model file is sound, and not an image classifier."""


class HostileModelError(ModelError):
    """The file killed, or hung, the child process in which it was tried."""


class ModelLoadError(ModelError):
    """A worker of the endpoint could not load a model that it was to run."""


class ModelFaultError(ModelError):
    """A loaded model failed at an inference, or its scores are not numbers."""


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


class MissingError(OnDeviceError):
    """A runtime or an extra, `missing`, is not installed; the message has the command that installs it."""

    def __init__(self, message: str, missing: str) -> None:
        super().__init__(message)
        self.missing = missing


class EmulationError(OnDeviceError):
    """The host cannot stand in for the device: it is slower, busy, or nothing is published of such models on it."""


class BenchError(OnDeviceError):
    """A measurement of `model` failed; nothing of it can be trusted."""

    def __init__(self, message: str, model: str) -> None:
        super().__init__(message)
        self.model = model


class ConvertError(OnDeviceError):
    """A network could not be converted; nothing was put in place."""


class ProtocolError(OnDeviceError):
    """A message of the Open Inference Protocol is malformed, or cannot be written in it."""


class NoRouteError(OnDeviceError):
    """The endpoint has no such path or model (status 404), or not with this method (405) but with `allowed`."""

    def __init__(self, message: str, status: int, allowed: str = "") -> None:
        super().__init__(message)
        self.status, self.allowed = status, allowed


class ServeError(OnDeviceError):
    """The endpoint cannot start, or cannot answer one request though nothing is wrong with it."""


class RefusedError(ServeError):
    """A request cannot be answered now; one like it may be, after `retry_after_s`.

    for_time: for want of time, so that one with more time may be answered at once.
    """

    def __init__(self, message: str, retry_after_s: float, for_time: bool = False) -> None:
        super().__init__(message)
        self.retry_after_s, self.for_time = retry_after_s, for_time


class WorkerDiedError(ServeError):
    """A worker process ended with a request in its hands."""


class RemoteError(OnDeviceError):
    """There is no answer from elsewhere; `failure` says in one word why."""

    def __init__(self, message: str, failure: FailureKind) -> None:
        super().__init__(message)
        self.failure = failure


class UpstreamError(RemoteError):
    """A server that was asked, an endpoint by its client or another by an endpoint, did not answer as it should.

    retry_after_ms: how long it wants to be left alone, if it says so. for_time: whether it refuses for want of time, so
    that a request with more time may be answered at once.
    """

    def __init__(
        self, message: str, failure: FailureKind, retry_after_ms: float | None = None, for_time: bool = False
    ) -> None:
        super().__init__(message, failure)
        self.retry_after_ms, self.for_time = retry_after_ms, for_time


class OffloadError(RemoteError):
    """Neither the cloud nor the device has an answer; `failure` is what became of the cloud."""
