"""Requests that are whole are answered one after the other, in the order in which they came."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from time import perf_counter

from ondevice.cloud.app.messages import Response
from ondevice.cloud.http.connections import Connections
from ondevice.cloud.http.sender import Sender
from ondevice.cloud.http.transaction import Transaction


class ReplyQueue:
    """One client's. since: when the last reply was sent, or it connected, by perf_counter, in s. asked: whether
    anything ever was.
    """

    def __init__(self, connections: Connections, sender: Sender) -> None:
        self._connections, self._sender = connections, sender
        # What to do when all are answered, which may add some.
        self.then: Callable[[], None] | None = None
        # Those whose turn has not come.
        self.waiting: deque[Transaction] = deque()
        self.since, self.asked = perf_counter(), False
        self._task: asyncio.Task[None] | None = None
        # Whether the client waits to be told to send the next one's body.
        self._waited_for = False
        self._last: tuple[Response, Transaction | None] | None = None

    @property
    def busy(self) -> bool:
        """Whether a request is being answered."""
        return self._task is not None

    def add(self, transaction: Transaction) -> None:
        """Answer it after those before it."""
        self.asked, self._waited_for = True, False  # its client has not waited any longer
        self.waiting.append(transaction)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._answer())

    def go_on(self) -> None:
        """Tell the client, which waits for that, to send its body; what it asked before is answered first, since this
        would stand in the middle of those replies.
        """
        if self._task is None:
            self._sender.go_on()
        else:
            self._waited_for = True

    def finish(self, response: Response, transaction: Transaction | None) -> None:
        """After those that wait this is the last, to what has come of a request; none if that has its reply."""
        self._last = response, transaction
        if self._task is None:
            self._send_last(response, transaction)

    def cancel(self) -> None:
        """The client has gone: what it asked for is no longer wanted."""
        for transaction in self.waiting:
            transaction.give_back()
        self.waiting.clear()
        if self._task:
            self._task.cancel()

    async def _answer(self) -> None:
        try:
            stays = await self._answer_waiting()
        except Exception as error:  # a fault of ours, for which its client must not wait, nor hold its connection
            loop = asyncio.get_running_loop()
            loop.call_exception_handler({"message": "a reply could not be made or sent", "exception": error})
            stays = False
        if not stays:
            self._sender.close()
            return
        self._task = None
        if self._last:
            self._send_last(*self._last)
        elif self._waited_for:
            self._sender.go_on()

    async def _answer_waiting(self) -> bool:
        """Answer all; whether the connection stays."""
        while self.waiting or (self.then and self._more(self.then)):
            transaction = self.waiting.popleft()
            assert transaction.request
            try:
                response = await transaction.request.answer(transaction.last_byte, transaction.held_s)
            finally:
                transaction.give_back()
            keep = transaction.keep and not self._connections.draining
            if isinstance(response.body, bytes):
                self._sender.send(response, response.body, keep, transaction)
            else:
                keep = keep and transaction.http_1_1
                await self._sender.stream(response, response.body, keep, transaction.http_1_1)
            self.since = perf_counter()
            if not keep:
                return False
            if self._sender.unread:
                await self._sender.unread
            elif self.waiting:  # other clients want their turn
                await asyncio.sleep(0)
        return True

    def _more(self, then: Callable[[], None]) -> bool:
        then()
        return bool(self.waiting)

    def _send_last(self, response: Response, transaction: Transaction | None) -> None:
        if not transaction or not transaction.declined:
            assert isinstance(response.body, bytes)
            self._sender.send(response, response.body, keep=False, to=transaction)
        self._sender.end()
        self.since = perf_counter()
