"""A request that was let in, as it stands in the queue: with its choice, and what it takes to make that again."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from ondevice.cloud.backends.ticket import Ticket, TurnTimes
from ondevice.cloud.select.choice import Choice
from ondevice.errors import RefusedError
from ondevice.protocol.served import Work

# Makes a choice anew, with the wait that is still before it, ms. Raises RefusedError.
Again = Callable[[float], Choice]

# The fill goes up and down with each request: a rise smaller than this is not worth another choice, which costs
# the front a tenth of a millisecond.
_DEARER = 0.02


class AdmissionOptions(NamedTuple):
    """How a request was let in. due, expires: as tickets have them. keep: the least chance to be in time with which
    it is begun. again: None where the choice has to stay. pressed: by how much a queue of this fill presses on one with
    this budget, ms. refused: called when its time is over; gives what it is told.
    """

    due: float
    expires: float
    keep: float
    again: Again | None
    pressed: Callable[[float, float], float]
    refused: Callable[[Choice], RefusedError]


class AdmittedTicket(Ticket):
    """The turn of a request for which this choice was made. choice: the one that holds."""

    def __init__(self, choice: Choice, work: Work, options: AdmissionOptions) -> None:
        super().__init__(choice.served.name, work, options.due, options.expires)
        self.choice, self._options = choice, options

    @property
    def latest(self) -> float:
        """The last moment at which it would still be begun, with the model that is surest in time."""
        return self.due - self.choice.problem.needed_ms(self._options.keep) / 1e3

    def reconsider(self, turn: TurnTimes) -> None:
        """Choose again where another model could be better by now, or the one chosen makes others late."""
        if self._options.again and not self._holds(turn):
            self.choice = self._options.again(turn.still_ms)
            self.model = self.choice.served.name

    def _holds(self, turn: TurnTimes) -> bool:
        choice = self.choice
        if choice.problem.saturated and not choice.is_thriftiest and self._dearer(turn):
            return False
        fits = choice.holds(turn.longer_ms) and choice.takes_ms <= turn.room_ms
        return fits and choice.backend.available(choice.served.name)

    def _dearer(self, turn: TurnTimes) -> bool:
        """Whether a worker's time is worth more now than when it was chosen."""
        return self._options.pressed(turn.fill, self.choice.budget_ms) > self.choice.fill + _DEARER

    def expired(self) -> RefusedError:
        """Its time is over: others pay for that."""
        return self._options.refused(self.choice)
