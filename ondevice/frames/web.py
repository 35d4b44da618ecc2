"""MJPEG over HTTP, as IP cameras and phones' camera apps give it (multipart/x-mixed-replace): lost links are taken up
again.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.error import HTTPError, URLError
from urllib.parse import SplitResult, unquote, urlsplit

from ondevice import words
from ondevice.errors import FailureKind, ImageError, RemoteError, UsageError
from ondevice.frames.source import FrameSource
from ondevice.resilience.backoff import Backoff

if TYPE_CHECKING:
    from urllib.request import OpenerDirector, Request

_LOG = logging.getLogger(__name__)
_PIECE_BYTES = 64 << 10  # what is there at once is seldom more than one picture
# A camera that sends nothing for so long is gone: the slowest take a picture a second.
_SILENT_S = 10.0
# A link that was lost is tried again after so long, and then ever less often: a camera that restarts takes half a
# minute, and one that is gone for good is asked no more than twice a minute.
_FIRST_S, _LONGEST_S = 0.5, 30.0
# An address that gives one picture is asked ten times a second at most: phones classify no more.
_SNAPSHOT_S = 0.1
# Between looks at whether anybody still wants the stream.
_LOOK_S = 0.1
# What statuses mean; any other is wrong.
_KINDS = {401: FailureKind.DENIED, 403: FailureKind.DENIED, 404: FailureKind.MISSING}


class WebCamera(FrameSource):
    """url: of an MJPEG stream, or of single pictures, which are asked for again and again. Name and password before its
    host are for basic and digest authentication; neither they nor its query are in `name`.

    Iterating raises RemoteError where the first link does not bring a picture; later ones are tried until one does.
    Raises UsageError for what is not an address.
    """

    def __init__(self, url: str) -> None:
        try:
            self._parts = urlsplit(url)
            _ = self._parts.port
        except ValueError as error:
            raise UsageError(f"{words.shown(url)} is not an address: {error}") from error
        if not self._parts.hostname:
            raise UsageError(f"{words.shown(url)} is not an address: it names no host")
        super().__init__(_name(self._parts))
        self._url = self._parts._replace(netloc=_host(self._parts), fragment="").geturl()
        self._seen = False

    def __iter__(self) -> Iterator[bytes]:
        backoff = Backoff(_FIRST_S, _LONGEST_S)
        while not self._closing.is_set():
            try:
                for frame in self._link():
                    backoff.succeeded()
                    self._seen = True
                    yield frame
                problem = "it ended"
            except (RemoteError, ImageError) as error:
                if not self._seen:
                    raise
                problem = str(error).removeprefix(f"{self.name}: ")
            if not self._closing.is_set():
                self._lose(problem, backoff)

    def _lose(self, problem: str, backoff: Backoff) -> None:
        """Count, tell, and wait until it is to be tried again."""
        self.lost += 1
        _LOG.warning("%s: the link was lost (%s); it is taken up again", self.name, problem)
        backoff.failed(perf_counter())
        while not (backoff.allows(perf_counter()) or self._closing.wait(_LOOK_S)):
            pass

    def _link(self) -> Iterator[bytes]:
        """The pictures of one link, until it ends. Raises RemoteError, ImageError."""
        with self._translated():
            opener = _opener(self._parts)
            again = True
            while again and not self._closing.is_set():
                with opener.open(self._url, timeout=_SILENT_S) as response:
                    self._check(response)
                    yield from self._split(_pieces(response))
                    again = response.headers.get_content_type() == "image/jpeg"
                if again:
                    self._closing.wait(_SNAPSHOT_S)

    def _check(self, response: HTTPResponse) -> None:
        if response.headers.get_content_maintype() == "text":
            said = f"{self.name} is a web page: give the address of the stream itself, such as http://camera:8080/video"
            raise RemoteError(said, FailureKind.WRONG)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """What goes wrong with a link as RemoteError."""
        try:
            yield
        except HTTPError as error:
            error.close()
            kind = _KINDS.get(error.code, FailureKind.WRONG)
            hint = "; name and password stand before the host, http://NAME:PASSWORD@…" if error.code == 401 else ""
            raise RemoteError(f"{self.name}: status {error.code} ({error.reason}){hint}", kind) from error
        except TimeoutError as error:
            raise RemoteError(f"{self.name}: nothing came for {_SILENT_S:g} s", FailureKind.LATE) from error
        except URLError as error:
            inner = error.reason if isinstance(error.reason, Exception) else error
            raise RemoteError(f"{self.name}: {words.reason(inner)}", FailureKind.REFUSED) from error
        except (OSError, HTTPException, ValueError) as error:
            raise RemoteError(f"{self.name}: {words.reason(error)}", FailureKind.CUT) from error


def _pieces(response: HTTPResponse) -> Iterator[bytes]:
    """What comes, as soon as it does."""
    while piece := response.read1(_PIECE_BYTES):
        yield piece


def _host(parts: SplitResult) -> str:
    """With its port, and without a name and password."""
    return parts.netloc.rpartition("@")[2]


def _name(parts: SplitResult) -> str:
    """The address without secrets: many cameras want theirs in the query."""
    shown = parts._replace(netloc=_host(parts), query="", fragment="").geturl()
    return f"{shown}?..." if parts.query else shown


def _opener(parts: SplitResult) -> OpenerDirector:
    """What opens addresses, with the name and password that stand in this one."""
    from urllib import request

    if parts.username is None:
        return request.build_opener()

    class Closing(request.BaseHandler):
        """Closes a reply that asks for a password, which those who answer it leave open."""

        handler_order = 0  # before them

        def http_error_401(self, asked: Request, reply: HTTPResponse, *more: object) -> None:
            reply.close()

    secrets = request.HTTPPasswordMgrWithDefaultRealm()
    everywhere = f"{parts.scheme}://{_host(parts)}/"  # for a stream may lead to another path of its camera
    secrets.add_password(None, everywhere, unquote(parts.username), unquote(parts.password or ""))
    return request.build_opener(
        Closing(), request.HTTPBasicAuthHandler(secrets), request.HTTPDigestAuthHandler(secrets)
    )
