"""The way to another server: an inference there, in its turn, and what it tells of the server and the model."""

from __future__ import annotations

from functools import partial
from time import perf_counter
from typing import NamedTuple

import orjson

from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream.health import ServerHealth
from ondevice.cloud.backends.upstream.model import UpstreamModel
from ondevice.cloud.backends.upstream.oip_client import OipClient
from ondevice.cloud.backends.upstream.send_turns import SendTurns
from ondevice.errors import UNREACHED, FailureKind, ImageError, UpstreamError
from ondevice.protocol.framing import Framing
from ondevice.protocol.served import Work
from ondevice.remote import Ranking, RemoteModel

# How long the answer to the question after its health may take: it is one without work.
_HEALTH_S = 1.0
# All others wait while JSON is written: for a picture's tensor this takes 6 ms, what needs no library 15.
_dumps = partial(orjson.dumps, option=orjson.OPT_SERIALIZE_NUMPY)


class Exchange(NamedTuple):
    """What a model there answered, as `RemoteModel.read` gives it; the wait for a turn to send, and the rest, ms."""

    top: Ranking
    raw: bytes
    turn_ms: float
    round_trip_ms: float


class UpstreamLink:
    """To one server: the client that asks it, how messages are framed for it, who waits to be sent, how well it is."""

    def __init__(self, client: OipClient, health: ServerHealth) -> None:
        self.client, self.health = client, health
        self.turns, self.framing = SendTurns(), Framing()

    async def meet(self, limit_s: float) -> None:
        """Ask whether the server is ready, and what it offers. Raises UpstreamError where it is not."""
        await self.client.ready(limit_s)
        try:
            self.framing.listed(await self.client.extensions(limit_s))
        except UpstreamError as error:
            if error.failure in UNREACHED:
                raise

    async def check(self) -> None:
        """Ask after the server's health."""
        try:
            await self.client.ready(_HEALTH_S)
        except UpstreamError as error:
            self.health.not_ready(error)
        else:
            self.health.ready()

    async def exchange(
        self, described: RemoteModel, work: Work, limit_s: float, ticket: Ticket | None = None
    ) -> Exchange:
        """Ask a model, in its turn. Raises UpstreamError, and RefusedError where the ticket's time is over before."""
        waiting = perf_counter()
        await self.turns.take(ticket)
        binary, start = self.framing.binary, perf_counter()
        try:
            top, raw = await self._infer(described, work, binary, limit_s)
        except UpstreamError as error:
            if not self.framing.again(binary, error.failure):
                raise
            binary, start = False, perf_counter()
            top, raw = await self._infer(described, work, binary, limit_s)
        finally:
            self.turns.turn.release()
        self.framing.understood(binary)
        return Exchange(top, raw, (start - waiting) * 1e3, (perf_counter() - start) * 1e3)

    async def _infer(self, described: RemoteModel, work: Work, binary: bool, limit_s: float) -> tuple[Ranking, bytes]:
        body, length = described.request(work, binary, _dumps)
        return described.read(await self.client.infer(described.served.name, body, length, limit_s), work)

    async def ask(self, model: UpstreamModel, work: Work, ticket: Ticket | None = None) -> Exchange:
        """Ask a model, and count whether it went well. Raises UpstreamError, ImageError, RefusedError."""
        try:
            answer = await self.exchange(model.remote, work, model.limit_s, ticket)
        except UpstreamError as error:
            if error.failure == FailureKind.REJECTED and work.is_picture and work is not model.sample:
                if await self.retry(model):
                    raise ImageError("the picture cannot be read: send a whole JPEG, PNG or WebP", None) from error
            else:
                model.health.failed(error)
            raise
        model.health.answered()
        return answer

    async def retry(self, model: UpstreamModel) -> bool:
        """Whether a model does what it is known to do well."""
        try:
            await self.ask(model, model.sample)
        except UpstreamError:
            return False
        return True
