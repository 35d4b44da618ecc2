"""What goes wrong on a connection, in words, and in which of our kinds of failure."""

from __future__ import annotations

import contextlib
import socket
import ssl
from collections.abc import Iterator

from ondevice import words
from ondevice.errors import FailureKind, UpstreamError

# Of TLS: the connection is gone. The other errors of it are of what is said on it.
_LOST = (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError, ssl.SSLSyscallError)


def is_lost(error: OSError | ValueError) -> bool:
    """Whether the other end has gone."""
    # Some releases of Python 3.11 have no class for a connection over TLS that is cut.
    return isinstance(error, _LOST) or getattr(error, "reason", "") == "UNEXPECTED_EOF_WHILE_READING"


class OpeningStage:
    """How far opening a connection is. waited_for: what has not come yet, as `late` says it."""

    waited_for = "no connection"


def late(where: str, said: str, within_s: float) -> UpstreamError:
    """Something has not come in time. said: what, such as `no connection`."""
    if within_s <= 0:
        return UpstreamError(f"{where}: no time was left to ask it", FailureKind.LATE)
    shown = float(f"{within_s:.2g}")  # what had passed of it before, a fraction of a millisecond, is not of interest
    return UpstreamError(f"{where}: {said} within {shown:g} s", FailureKind.LATE)


@contextlib.contextmanager
def translated(where: str, stage: OpeningStage, within_s: float) -> Iterator[None]:
    """Turn what sockets, names and TLS raise within into an UpstreamError that says what to do, where one can."""
    try:
        yield
    except TimeoutError as error:
        raise late(where, stage.waited_for, within_s) from error
    except (OSError, ValueError) as error:
        raise failure(where, error) from error


def failure(where: str, error: OSError | ValueError) -> UpstreamError:
    """What an error other than one of time means."""
    if isinstance(error, ssl.SSLCertVerificationError):
        said = f"its certificate is refused: {error.verify_message or 'not valid'}; give the file of its authority"
        return UpstreamError(f"{where}: {said}", FailureKind.UNTRUSTED)
    if isinstance(error, ConnectionRefusedError):
        return UpstreamError(f"{where} refuses connections; is `ondevice serve` running there?", FailureKind.REFUSED)
    if is_lost(error):
        return UpstreamError(f"{where}: the connection was lost before the answer was whole", FailureKind.CUT)
    if isinstance(error, ssl.SSLError):
        return UpstreamError(f"{where} does not speak TLS as it should; is it http:// there?", FailureKind.WRONG)
    if isinstance(error, socket.gaierror):
        return UpstreamError(f"{where}: no such host", FailureKind.REFUSED)
    return UpstreamError(f"{where}: {words.reason(error)}", FailureKind.REFUSED)
