"""A model of another server, and what is known of it here."""

from __future__ import annotations

from dataclasses import dataclass

from ondevice.cloud.backends.learning import Learned
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream.health import ModelHealth
from ondevice.errors import RefusedError
from ondevice.protocol.served import Work
from ondevice.remote import RemoteModel

# An answer is late after so many times its mean, but never before so long.
_LATE_TIMES, _LATE_S = 20.0, 1.0


class DecodingTicket(Ticket):
    """The part of a request's turn that is done here. ahead_s: by how much that is due before the whole."""

    def __init__(self, whole: Ticket, ahead_s: float) -> None:
        super().__init__(whole.model, whole.work, whole.due - ahead_s, whole.expires)
        self._whole = whole

    def expired(self) -> RefusedError:
        """What the whole is refused with, and whoever counts its refusals hears of this one."""
        return self._whole.expired()


@dataclass(eq=False)
class UpstreamModel:
    """A model of another server. row: its place among the backend's. sample: work that it is known to do well."""

    row: int
    remote: RemoteModel
    sample: Work
    learned: Learned
    health: ModelHealth

    @property
    def name(self) -> str:
        """As its server calls it."""
        return self.remote.served.name

    @property
    def limit_s(self) -> float:
        """When its answer is late."""
        return max(_LATE_S, _LATE_TIMES * self.learned.invoke.distribution.mean_ms / 1e3)

    def decoding(self, ticket: Ticket) -> Ticket:
        """The part of a turn that is done here."""
        return DecodingTicket(ticket, self.learned.invoke.distribution.mean_ms / 1e3)
