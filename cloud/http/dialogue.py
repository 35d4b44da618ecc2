"""What is said on one connection, and how long it may take."""

from __future__ import annotations

from typing import Any

from ondevice.cloud.app.messages import Response
from ondevice.cloud.http.connections import Activity, Connections
from ondevice.cloud.http.inbox import Inbox
from ondevice.cloud.http.parser import RequestParser
from ondevice.cloud.http.reception import Reception
from ondevice.cloud.http.replies import ReplyQueue
from ondevice.cloud.http.sender import Sender

# How long what a refused client still sends is thrown away, so that it gets to read why; then the connection is closed.
_LINGER_S = 2.0


class Dialogue:
    """One client's requests and their replies, in order. inbox: for what is received; sender: what is sent."""

    def __init__(self, connections: Connections, transport: Any) -> None:
        self._connections, self._transport = connections, transport
        peer = transport.get_extra_info("peername")
        self.sender = Sender(transport)
        self._replies = ReplyQueue(connections, self.sender)
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        reception = Reception(connections, address, self._replies.go_on, lambda: self.inbox.read_on())
        self._parser = RequestParser(connections.app, connections.limits, reception.take_in, self._replies.add)
        self.inbox = Inbox(transport, self._parser, reception, self._replies, self._end)
        self._ended = False

    def refuse(self, status: int, message: str) -> None:
        """Reply to a request that is not read to its end, and let the connection run out."""
        self._end(self._connections.app.refusal(status, message))

    def _end(self, response: Response) -> None:
        self._ended, transaction = True, self._parser.transaction
        self.inbox.close()
        self._parser.abandon()
        self._replies.finish(response, transaction)

    def lost(self) -> None:
        """The client has gone."""
        self.inbox.close()
        self._parser.abandon()
        self._replies.cancel()

    @property
    def since(self) -> float:
        """When it began what it is at: its request's first byte, or its last reply's end."""
        transaction = self._parser.transaction
        return transaction.first_byte if transaction else self._replies.since

    @property
    def activity(self) -> Activity:
        """What it is at."""
        transaction = self._parser.transaction
        if self._replies.busy or (transaction and transaction.request):
            return Activity.BUSY
        if self._ended:
            return Activity.REFUSED
        if transaction:
            return Activity.BEGINNING
        return Activity.QUIET if self._replies.asked else Activity.UNUSED

    def check(self, now: float, crowded: bool) -> None:
        """End the connection if its time is over. crowded: whether others wait for room for their bodies."""
        transaction, limits = self._parser.transaction, self._connections.limits
        if self.sender.unread and now - self.sender.unread_since > limits.idle_s:
            self.abort()
        elif transaction:
            if overdue := transaction.overdue(now, crowded, limits.send_s):
                self.refuse(*overdue)
        elif self._replies.busy and not self._transport.is_closing():
            return
        elif now - self._replies.since > (_LINGER_S if self._ended else limits.idle_s):
            # A client that does not read its reply would keep us from closing properly.
            self.abort() if self._ended or self._transport.get_write_buffer_size() else self.close()

    def close(self) -> None:
        """Close the connection once what was sent has gone out."""
        self._transport.close()

    def abort(self) -> None:
        """Close the connection at once."""
        self._transport.abort()
