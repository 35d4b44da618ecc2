"""A request's turn as one object: what is to be done, with which model and until when. The queue owns it."""

from __future__ import annotations

import math
from typing import NamedTuple

from ondevice.errors import RefusedError
from ondevice.protocol.served import Work


class TurnTimes(NamedTuple):
    """What a queue tells a ticket whose turn has come, all in ms.

    still_ms: the wait that is still before it. longer_ms: by how much the whole wait is longer than foreseen. room_ms:
    how long it may take without making anything late that waits behind it. fill: as `Others` has it.
    """

    still_ms: float
    longer_ms: float
    room_ms: float
    fill: float = 0.0


class Ticket:
    """Work on its way through a backend, with the model that does it as things stand, one of the backend's own.

    due: when its answer must be ready, by perf_counter; what is due first is done first. expires: when it is refused if
    it is not answered; inf: never. latest: the last moment at which it is worth beginning, as far as is known.
    """

    def __init__(self, model: str, work: Work, due: float = math.inf, expires: float = math.inf) -> None:
        self.model, self.work, self.due, self.expires = model, work, due, expires

    @property
    def latest(self) -> float:
        """By perf_counter; inf where nothing is known."""
        return math.inf

    def reconsider(self, turn: TurnTimes) -> None:
        """Its turn has come: choose its model anew where that could matter. Raises RefusedError."""

    def expired(self) -> RefusedError:
        """What it is refused with when its time is over."""
        return RefusedError("it could not be answered in time", 1, for_time=True)
