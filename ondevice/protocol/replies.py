"""What the replies of another server mean to the one who asked it. Whatever is wrong with them is an UpstreamError."""

from __future__ import annotations

import json
from typing import Any

from ondevice.errors import FailureKind, UpstreamError

# The failures that a status stands for; any other is WRONG. Rejected is what was sent, and not who sent it.
_FAILURES = {
    401: FailureKind.DENIED,
    403: FailureKind.DENIED,
    404: FailureKind.MISSING,
    429: FailureKind.BUSY,
    503: FailureKind.BUSY,
    **dict.fromkeys((400, 413, 415, 422), FailureKind.REJECTED),
}
# As much as fits into a line of the terminal or the log.
_MOST_SAID = 200


def refusal(who: str, status: int, body: bytes) -> UpstreamError:
    """What a reply of another status than 200 means, with the status and the protocol's `error` if there is one."""
    try:
        said = json.loads(body)["error"]
    except (ValueError, RecursionError, LookupError, TypeError):
        said = ""
    shown = "".join(c if c.isprintable() else " " for c in said[:_MOST_SAID]) if isinstance(said, str) else ""
    message = f"{who} answers {status}{': ' if shown else ''}{shown}"
    return UpstreamError(message, _FAILURES.get(status, FailureKind.WRONG))


def parsed(body: bytes) -> Any:
    """The JSON in a body. Raises UpstreamError."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise UpstreamError("its answer is not JSON", FailureKind.WRONG) from error
