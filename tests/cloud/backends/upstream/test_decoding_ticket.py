"""The part of a request's turn that is done here, before it is sent to another server."""

from __future__ import annotations

from time import perf_counter

from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream.model import DecodingTicket
from ondevice.errors import RefusedError
from ondevice.protocol.served import Work


class Dear(Ticket):
    """One whose end others pay for. told: how often that was seen."""

    told = 0

    def expired(self) -> RefusedError:
        self.told += 1
        return RefusedError("others pay for that", 7)


def test_it_is_due_sooner_than_the_whole_and_ends_as_that_does() -> None:
    whole = Dear("m", Work(b"", True, 1, False, perf_counter()), due=100.0, expires=101.0)
    part = DecodingTicket(whole, 0.5)
    assert (part.model, part.work, part.due, part.expires) == ("m", whole.work, 99.5, 101.0)
    assert part.expired().retry_after_s == 7
    assert whole.told == 1
