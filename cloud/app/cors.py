"""CORS (the Fetch standard, 3.2): pages of the origins that the operator named may read the replies."""

from __future__ import annotations

from collections.abc import Awaitable
from time import perf_counter

from ondevice.cloud.app.accounting import Accounting
from ondevice.cloud.app.messages import Application, ArrivingRequest, Head, Request, Response
from ondevice.cloud.app.origins import ANY, AllowedOrigins

_ALLOW_ORIGIN = "access-control-allow-origin"
_VARY = ("vary", "origin")
# The replies' own headers, such as those of the binary extension.
_EXPOSED = ("access-control-expose-headers", "*")
# The star does not stand for Authorization. Two hours are the longest that Chromium remembers it.
_PREFLIGHT = (
    ("access-control-allow-methods", "GET, HEAD, POST"),
    ("access-control-allow-headers", "*, authorization"),
    ("access-control-max-age", "7200"),
)
_Headers = tuple[tuple[str, str], ...]


class CorsApplication:
    """`app` for pages of these origins too. accounting: where it is noted that a browser asked whether its page may."""

    def __init__(self, app: Application, allowed: AllowedOrigins, accounting: Accounting) -> None:
        self._app, self._allowed, self._accounting = app, allowed, accounting

    def begin(self, head: Head) -> ArrivingRequest | Response:
        """The reply to a preflight; else what `app` has, with headers for the browser."""
        headers = self._headers(head.headers.get("origin"))
        if _EXPOSED in headers and head.method == "OPTIONS" and "access-control-request-method" in head.headers:
            self._accounting.finished(Request(head, b"", perf_counter()), 200, {})
            return Response(200, (*headers, *_PREFLIGHT), b"")
        begun = self._app.begin(head)
        return _with(headers, begun) if isinstance(begun, Response) else _PageRequest(begun, headers)

    def refusal(self, status: int, message: str) -> Response:
        """An error of the transport, which does not know who asked: it may be read where only one origin may."""
        return _with(self._headers(self._allowed.only), self._app.refusal(status, message))

    def _headers(self, origin: str | None) -> _Headers:
        if self._allowed.any:
            return (_ALLOW_ORIGIN, ANY), _EXPOSED
        if origin is not None and self._allowed.include(origin):
            return (_ALLOW_ORIGIN, origin), _EXPOSED, _VARY
        return (_VARY,)


class _PageRequest:
    def __init__(self, request: ArrivingRequest, headers: _Headers) -> None:
        self._request, self._headers = request, headers

    def receive(self, data: bytes | memoryview) -> Response | None:
        reply = self._request.receive(data)
        return reply and _with(self._headers, reply)

    def answer(self, last_byte: float, held_s: float) -> Awaitable[Response]:
        return self._answer(self._request.answer(last_byte, held_s))

    async def _answer(self, coming: Awaitable[Response]) -> Response:
        return _with(self._headers, await coming)


def _with(headers: _Headers, response: Response) -> Response:
    return response._replace(headers=(*response.headers, *headers))
