"""A request whose body comes compressed: the service is given what it stands for."""

from __future__ import annotations

import weakref

from ondevice.cloud.app.messages import Application, ArrivingRequest, Response
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.http.transaction import Transaction
from ondevice.errors import ProtocolError
from ondevice.protocol.content_coding import Inflater


class Expanding:
    """In front of the request as the service has it; its transaction holds what it expands to."""

    def __init__(
        self,
        request: ArrivingRequest,
        inflater: Inflater,
        transaction: Transaction,
        app: Application,
        limits: HttpLimits,
    ) -> None:
        self._request, self._inflater, self._app, self._limits = request, inflater, app, limits
        # Which has this: in a circle a body that is not wanted any more would stay in memory until that is looked for.
        self._transaction = weakref.proxy(transaction)

    def receive(self, data: bytes | memoryview) -> Response | None:
        """Take a piece. Raises EarlyReplyError where there is no room for what it expands to."""
        transaction = self._transaction
        try:
            for piece in self._inflater.expand(bytes(data)):
                transaction.hold_expanded(len(piece), self._app, self._limits)
                if (reply := self._request.receive(piece)) is not None:
                    return reply
        except ProtocolError as error:
            return self._app.refusal(400, str(error))
        return None

    async def answer(self, last_byte: float, held_s: float) -> Response:
        """The reply, or a refusal if something is missing."""
        if not self._inflater.finished:
            return self._app.refusal(400, "the body ends before what it is compressed from does")
        return await self._request.answer(last_byte, held_s)
