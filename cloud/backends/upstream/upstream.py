"""The backend that forwards to another Open Inference Protocol server, which may be gone at any moment."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from time import monotonic, perf_counter

from ondevice.cloud.backends.backend import Backend, InferenceResult
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream.decoder import PictureDecoder
from ondevice.cloud.backends.upstream.discovery import Discovery
from ondevice.cloud.backends.upstream.health import ServerHealth
from ondevice.cloud.backends.upstream.link import UpstreamLink
from ondevice.cloud.backends.upstream.maintenance import Maintenance
from ondevice.cloud.backends.upstream.model import UpstreamModel
from ondevice.cloud.backends.upstream.oip_client import OipClient
from ondevice.cloud.backends.upstream.queue import UpstreamQueue
from ondevice.cloud.backends.upstream.round_trips import RoundTrips
from ondevice.cloud.backends.upstream.session import UpstreamSession
from ondevice.cloud.backends.upstream.url import TOKEN_VARIABLE, parsed
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.protocol.served import ServedModel


class Upstream(Backend):
    """The models of another server, of `ondevice serve` or any that speaks the Open Inference Protocol V2.

    url: http(s)://host:port for all models of its repository, or …/v2/models/NAME for that one alone, or
    …/versions/VERSION of it; there may be a path before /v2. pool: the workers that decode pictures for models that
    take only tensors, running; None: such models are left out. tell: called with an event and its fields. host: the
    Host that it is asked for, or None for the URL's. A bearer token for the server is taken from the environment,
    ONDEVICE_UPSTREAM_TOKEN. Its times are those of the whole round trip. Raises UsageError for a URL that is none of
    these.
    """

    times: RoundTrips
    infers_here = False

    def __init__(self, url: str, pool: Pool | None, tell: Callable[..., None], host: str | None = None) -> None:
        self._url, self._tell = parsed(url, host), tell
        self.name = self._url.name
        self._session = UpstreamSession(self._url.base, os.environ.get(TOKEN_VARIABLE), host)
        client = OipClient(self._session, self._url.version)
        self.link = UpstreamLink(client, ServerHealth(self.name, monotonic, tell))
        self._decoder = PictureDecoder(pool)
        self._known: dict[str, UpstreamModel] = {}
        self._closing = ExitStack()

    async def start(self) -> None:
        """Meet the server and its models, and time each. Raises ServeError where there is none to serve."""
        self._closing.callback(self._session.close)
        await self._session.open()
        met = await Discovery(self._url, self.link, self._decoder, self._tell).models()
        self.models: Sequence[ServedModel] = [model.remote.served for model in met]
        self._known = {model.name: model for model in met}
        self.times = RoundTrips(met, monotonic)
        self.queue = UpstreamQueue(met, self.link.turns, self._decoder, self.times.table)
        self._maintenance = Maintenance(self.link, met, self.times, self._decoder)
        self._closing.callback(self._maintenance.close)

    def close(self) -> None:
        """Let the connections go."""
        self._closing.close()

    def tick(self) -> None:
        """Ask after the server's health every two seconds, try what failed again, and time what is stale."""
        self._maintenance.tick()

    def ready(self) -> bool:
        """Whether any model can be asked for, now or as soon as its server said."""
        return any(model.health.well for model in self._known.values())

    def state(self, model: str) -> ModelState:
        """What it is, as far as is known from here."""
        return self._known[model].health.state

    def available(self, model: str) -> bool:
        """Whether the model can be asked for now."""
        return self._known[model].health.available

    async def load(self, model: str) -> None:
        """Let it be asked for; what its server holds in memory is the server's to decide."""
        self._known[model].health.on = True

    def unload(self, model: str) -> None:
        """Keep it from being asked for until it is loaded again."""
        self._known[model].health.on = False

    async def run(self, ticket: Ticket) -> InferenceResult:
        """Have the work done there. Raises UpstreamError, RefusedError, and ImageError for the picture's fault."""
        model, work, begun = self._known[ticket.model], ticket.work, perf_counter()
        with self.link.turns:
            ready, queue_ms, decode_ms = work, 0.0, 0.0
            if work.is_picture and model.remote.feed:
                expected_ms = model.learned.decode.expect(work.picture)
                ready, queue_ms, decode_ms = await self._decoder.decode(
                    model.remote, model.decoding(ticket), expected_ms
                )
            done = await self.link.ask(model, ready, ticket)
        queue_ms += done.turn_ms
        result = InferenceResult(model.name, done.top, done.raw, queue_ms, decode_ms, done.round_trip_ms)
        self.times.answered(model, work.picture, result, (perf_counter() - begun) * 1e3)
        return result
