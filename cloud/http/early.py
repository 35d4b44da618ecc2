"""A reply that comes before its request has ended."""

from __future__ import annotations

from ondevice.cloud.app.messages import Response


class EarlyReplyError(Exception):
    """Raised where no more of a request is wanted, since this is the reply: its connection is read no further."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response
