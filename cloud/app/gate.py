"""What is refused by a request's head alone."""

from __future__ import annotations

from typing import NamedTuple

from ondevice.cloud.app import routes
from ondevice.cloud.app.messages import Head
from ondevice.cloud.app.tokens import Tokens
from ondevice.errors import NoRouteError
from ondevice.protocol import content_coding

# Load balancers ask these without a token.
_OPEN = ("live", "ready")


class Refusal(NamedTuple):
    """Why a request is not read, and the headers that say what to do about it."""

    status: int
    message: str
    headers: tuple[tuple[str, str], ...] = ()


class Gate:
    """tokens: who may ask, or None for all."""

    def __init__(self, tokens: Tokens | None) -> None:
        self._tokens = tokens

    def refusal(self, head: Head) -> Refusal | None:
        """Why the body of this request is not wanted: no such path, no token, or compressed as nobody here knows."""
        try:
            route = routes.find(head.method, head.path)
        except NoRouteError as error:
            return Refusal(error.status, str(error), (("allow", error.allowed),) if error.allowed else ())
        if route.operation not in _OPEN and not self._may_ask(head):
            challenge = ("www-authenticate", "Bearer")
            return Refusal(401, "give a valid token: Authorization: Bearer TOKEN", (challenge,))
        encoding = head.headers.get("content-encoding")
        if encoding is not None and not content_coding.is_read(encoding):
            codings = ", ".join(content_coding.ACCEPTED)
            said = f"Content-Encoding {encoding[:40]} is not read here: send it as it is, or as one of {codings}"
            return Refusal(415, said, (("accept-encoding", codings),))
        return None

    def _may_ask(self, head: Head) -> bool:
        return self._tokens is None or self._tokens.allow(head.headers.get("authorization", ""))
