"""Several answers to one request as a reply whose lines go out as they come."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing

from ondevice.cloud.app.accounting import Accounting
from ondevice.cloud.app.answers import Answered, answers
from ondevice.cloud.app.attempts import Attempts
from ondevice.cloud.app.calls import InferenceCall
from ondevice.cloud.app.messages import Piece, Response
from ondevice.cloud.app.replies import InferenceReplies
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.select.choice import Choice
from ondevice.errors import OnDeviceError


class AnswerStreams:
    """Of these replies; accounting: told when the last answer is out. tell: called with an event and its fields."""

    def __init__(self, replies: InferenceReplies, accounting: Accounting, tell: Callable[..., None]) -> None:
        self._replies, self._accounting, self._tell = replies, accounting, tell

    async def begin(self, asked: InferenceCall, turns: Sequence[tuple[Choice, Ticket]], attempts: Attempts) -> Response:
        """The reply, once its first line is there. What fails before that raises UpstreamError, ModelError, …"""

        def lost(choice: Choice, error: OnDeviceError) -> None:
            attempts.exclude(choice, error)
            self._tell("answer lost", model=choice.served.name, reason=str(error))

        several = answers(turns, lost)
        first = await anext(several)
        return Response(200, self._replies.head_of_lines(asked), self._lines(asked, first, several))

    async def _lines(
        self, asked: InferenceCall, first: Answered, others: AsyncGenerator[Answered, None]
    ) -> AsyncGenerator[Piece, None]:
        try:
            async with aclosing(others):
                yield self._replies.line(asked, first)
                async for answer in others:
                    yield self._replies.line(asked, answer)
        except Exception:
            self._accounting.fault(asked.call.request.head)
        finally:  # also when the client has left, which is its right
            self._accounting.finished(asked.call.request, 200, asked.call.fields)
