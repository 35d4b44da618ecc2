"""What is refused by a request's head alone."""

from __future__ import annotations

from typing import NamedTuple

from ondevice.cloud.app import routes, strangers
from ondevice.cloud.app.messages import Head
from ondevice.cloud.app.strangers import Strangers
from ondevice.cloud.app.tokens import Tokens
from ondevice.errors import NoRouteError
from ondevice.protocol import content_coding

# Load balancers ask these without a token, and by any name.
_OPEN = ("live", "ready")


class Refusal(NamedTuple):
    """Why a request is not read, and the headers that say what to do about it."""

    status: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class Gate:
    """may_ask: the tokens of those who may; or what keeps web pages out, where anybody else may; None lets in all."""

    def __init__(self, may_ask: Tokens | Strangers | None) -> None:
        self._tokens = may_ask if isinstance(may_ask, Tokens) else None
        self._strangers = may_ask if isinstance(may_ask, Strangers) else None

    def refusal(self, head: Head) -> Refusal | None:
        """Why the body of this request is not wanted: who asks, no such path, or compressed as nobody knows."""
        try:
            route = routes.find(head.method, head.path)
        except NoRouteError as error:
            return self._from_elsewhere(head) or _no_route(head, error)
        is_open = route.operation in _OPEN
        if refusal := self._from_elsewhere(head, is_open):
            return refusal
        if not is_open and not self._has_token(head):
            challenge = ("www-authenticate", "Bearer")
            return Refusal(401, "give a valid token: Authorization: Bearer TOKEN", (challenge,))
        encoding = head.headers.get("content-encoding")
        if encoding is not None and not content_coding.is_read(encoding):
            codings = ", ".join(content_coding.ACCEPTED)
            said = f"Content-Encoding {encoding[:40]} is not read here: send it as it is, or as one of {codings}"
            return Refusal(415, said, (("accept-encoding", codings),))
        return None

    def _from_elsewhere(self, head: Head, is_open: bool = False) -> Refusal | None:
        if self._strangers is None:
            return None
        message = self._strangers.refusal(head.headers, is_open)
        return Refusal(403, message) if message else None

    def _has_token(self, head: Head) -> bool:
        return self._tokens is None or self._tokens.allow(head.headers.get("authorization", ""))


def _no_route(head: Head, error: NoRouteError) -> Refusal:
    if head.method == "OPTIONS" and "origin" in head.headers:  # a browser asks whether its page may
        return Refusal(403, strangers.page_refusal(head.headers["origin"]))
    return Refusal(error.status, str(error), (("allow", error.allowed),) if error.allowed else ())
