"""A request's inference: by the model that was chosen, and by another where that one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.select.arrival import Arrival
from ondevice.cloud.select.choice import Choice, Place
from ondevice.cloud.select.selector import Selector
from ondevice.errors import ModelError, OnDeviceError, UpstreamError
from ondevice.protocol.served import Work


class Attempts:
    """What is tried for one request. tell: called with an event and its fields."""

    def __init__(self, selector: Selector, arrival: Arrival, work: Work, tell: Callable[..., None]) -> None:
        self._selector, self._arrival, self._work, self._tell = selector, arrival, work, tell
        self._failed: set[Place] = set()

    async def run(self, choice: Choice) -> tuple[Choice, InferenceResult]:
        """The first answer: of the chosen model, else of the next best.

        Raises ImageError, ServeError, RefusedError, and the last error of a model where no other is left.
        """
        while True:
            try:
                ticket = self._selector.ticket(choice, self._arrival, self._work, self._failed)
                return choice, await choice.backend.run(ticket)
            except (UpstreamError, ModelError) as error:
                choice = self.another(choice, error)

    def side_by_side(self, choices: Sequence[Choice]) -> list[tuple[Choice, Ticket]]:
        """Each of these with its turn; none takes the place of another."""
        return [(one, self._selector.fixed_ticket(one, self._arrival, self._work)) for one in choices]

    def another(self, choice: Choice, error: OnDeviceError) -> Choice:
        """The next best after a model, or several, that failed for this request.

        Raises the error where there is none, or where one has been tried already and the request's time is over.
        """
        late = (perf_counter() - self._arrival.received) * 1e3 > choice.budget_ms
        again = bool(self._failed) and late
        self.exclude(choice, error)
        if again or not self._selector.available.any_but(self._failed):
            raise error
        self._tell("chosen again", model=_ran(choice, error), reason=str(error))
        return self._selector.choose(self._arrival, without=self._failed)

    def exclude(self, choice: Choice, error: OnDeviceError) -> None:
        """Ask no more what this error speaks against: the model that ran in the end, or the whole of another server."""
        models = choice.backend.models
        failed = {_ran(choice, error)} if isinstance(error, ModelError) else {m.name for m in models}
        self._failed |= {(choice.backend, row) for row, served in enumerate(models) if served.name in failed}


def _ran(choice: Choice, error: OnDeviceError) -> str:
    """The model that ran: at its turn another may have taken the place of the one chosen, which is well."""
    return (isinstance(error, ModelError) and error.model) or choice.served.name
