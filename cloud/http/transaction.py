"""One request on its connection, from its first byte until its reply is sent."""

from __future__ import annotations

from ondevice.cloud.app.messages import Application, ArrivingRequest
from ondevice.cloud.http.early import EarlyReplyError
from ondevice.cloud.http.limits import HttpLimits
from ondevice.resilience.budget import Allotment

# While others wait for room for their bodies a body must keep pace; this is for clients that do not send evenly.
_GRACE_S = 2.0
# So many times its length a compressed body expands to at most, since everybody waits meanwhile, 0.1 s for 16 MB of
# zeros: pixels as numbers in JSON shrink to a tenth. In 4 MB a network's input in JSON may be all zeros, for a test.
_MOST_TIMES, _ANY_BYTES = 100, 4 << 20


class Transaction:
    """What has come of a request, what it holds, and what its reply has to keep to. Times are by perf_counter, in s."""

    # With HTTP/1.1 clients know chunks, may wait to be told to send a body, and connections stay unless one says no.
    http_1_1 = False
    # As the service has it, once its head is here.
    request: ArrivingRequest | None = None
    # Whether it has its reply, which refuses it, though more of its body comes.
    declined = False
    # Of its body, which holds a share of the room for all; None: it comes in chunks, and may be longer than its share.
    length: int | None = 0
    received = 0
    # If it comes compressed, how much it stands for so far.
    expanded = 0
    share: Allotment | None = None
    # Since when it waits for room for its body, and how long it has done so before.
    held_from = held_s = 0.0
    last_byte = 0.0
    # Whether the connection is to stay after the reply.
    keep = False

    def __init__(self, first_byte: float) -> None:
        self.first_byte = first_byte
        self.method = self.url = b""
        self.headers: dict[str, str] = {}

    @property
    def waits_to_send(self) -> bool:
        """Whether its client wants to be told before it sends the body."""
        expected = self.headers.get("expect")
        return expected is not None and self.http_1_1 and self.length != 0 and expected.lower() == "100-continue"

    def receive(self, body: bytes | memoryview, app: Application, limits: HttpLimits) -> None:
        """Take a piece of the body. Raises EarlyReplyError where the rest is not wanted."""
        assert self.request
        self.received += len(body)
        if self.length is None and self.share:
            self.hold(self.received, app, limits)
        if (reply := self.request.receive(body)) is not None:
            raise EarlyReplyError(reply)

    def hold(self, size_bytes: int, app: Application, limits: HttpLimits) -> None:
        """Hold so much of a body of unknown length, with room for as much again. Raises EarlyReplyError."""
        assert self.share
        if size_bytes > limits.body_bytes:
            raise EarlyReplyError(app.refusal(413, limits.too_large))
        room = min(max(2 * self.share.amount, size_bytes), limits.body_bytes)
        if size_bytes > self.share.amount and not self.share.grow(room):
            message = (
                "more is being sent than there is memory for; try again, or send it as it is with a Content-Length"
            )
            raise EarlyReplyError(app.refusal(503, message))

    def hold_expanded(self, count: int, app: Application, limits: HttpLimits) -> None:
        """Hold so much more of what a compressed body expands to. Raises EarlyReplyError."""
        self.expanded += count
        if self.expanded > max(_MOST_TIMES * self.received, _ANY_BYTES):
            message = f"the body expands to over {_MOST_TIMES} times its length; send it as it is"
            raise EarlyReplyError(app.refusal(413, message))
        self.hold(self.expanded, app, limits)

    def overdue(self, now: float, crowded: bool, send_s: float) -> tuple[int, str] | None:
        """Status and message if it has taken too long to arrive. crowded: others wait for room for their bodies."""
        if self.share and not self.share.granted:
            late = now - self.held_from > send_s
            return (503, "too much is being sent at once; try again later") if late else None
        waited_s = now - self.first_byte - self.held_s
        if waited_s > send_s:
            return 408, f"the request took over {send_s:g} s to arrive"
        if crowded and self.share and self._slow(self.share, waited_s, send_s):
            return 408, "the body came too slowly while others waited to send theirs"
        return None

    def _slow(self, share: Allotment, waited_s: float, send_s: float) -> bool:
        """Whether the body, at its pace, would not be whole in time anyway."""
        return waited_s > _GRACE_S and max(self.received, self.expanded) * send_s < share.amount * waited_s

    def give_back(self) -> None:
        """Hold and wait for nothing more; once or often."""
        if self.share:
            self.share.give_back()
            self.share = None
