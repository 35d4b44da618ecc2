"""A request refused by its head, and of whose body there is little: that is dropped, and its connection stays."""

from __future__ import annotations

from ondevice.cloud.app.messages import Response
from ondevice.cloud.http.early import EarlyReplyError
from ondevice.cloud.http.transaction import Transaction

# A photo as phones send it: reading it costs both less than a new connection. More is not read: the reply ends the
# connection.
_DROPPED_BYTES = 256 << 10


class Declined:
    """In the place of the request that was asked for. Raises EarlyReplyError where its connection is to end with it."""

    def __init__(self, response: Response, transaction: Transaction) -> None:
        if transaction.length != 0 and not _to_be_dropped(transaction):
            raise EarlyReplyError(response)
        self._response, self._left = response, _DROPPED_BYTES

    def receive(self, data: bytes | memoryview) -> Response | None:
        """Drop it; the reply, which has been sent, if that makes too much."""
        self._left -= len(data)
        return self._response if self._left < 0 else None

    async def answer(self, last_byte: float, held_s: float) -> Response:
        """The refusal, before the body is here."""
        return self._response


def _to_be_dropped(transaction: Transaction) -> bool:
    """Whether its body is; who waits to be told to send it may do so or not, which nobody could tell apart."""
    return transaction.keep and not transaction.waits_to_send and (transaction.length or 0) <= _DROPPED_BYTES
