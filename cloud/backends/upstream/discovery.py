"""Getting to know another server: which models it has, what they are, and how long a round trip takes."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import numpy as np

from ondevice import remote
from ondevice.cloud.backends.learning import Learned
from ondevice.cloud.backends.upstream.decoder import PictureDecoder
from ondevice.cloud.backends.upstream.link import UpstreamLink
from ondevice.cloud.backends.upstream.model import UpstreamModel
from ondevice.cloud.backends.upstream.url import TOKEN_VARIABLE, UpstreamUrl
from ondevice.errors import UNREACHED, FailureKind, OnDeviceError, ServeError, UpstreamError
from ondevice.protocol.served import Work
from ondevice.remote import RemoteModel
from ondevice.timing.profile import Profile
from ondevice.timing.recent import Recent

# How long its answers may take; with an inference it may begin to load the model.
_START_S, _COLD_S = 5.0, 60.0
# A model is timed so often, or until that has taken so long in all, but at least twice.
_RUNS, _TIME_MS = 5, 300.0


class Discovery:
    """Of the server at `url`. tell: called with an event and its fields."""

    def __init__(
        self, url: UpstreamUrl, link: UpstreamLink, decoder: PictureDecoder, tell: Callable[..., None]
    ) -> None:
        self._url, self._link, self._decoder, self._tell = url, link, decoder, tell
        self._left_out: list[str] = []

    async def models(self) -> list[UpstreamModel]:
        """All that can be served, each timed. Raises ServeError where there is none."""
        try:
            await self._link.meet(_START_S)
            names = await self._names()
            met: list[UpstreamModel] = []
            for name in names:
                met += await self._meet(name, len(met))
        except UpstreamError as error:
            hint = "see that an Open Inference Protocol server is running there"
            if error.failure == FailureKind.DENIED:
                hint = f"put its bearer token into the environment variable {TOKEN_VARIABLE}"
            raise ServeError(f"--upstream {self._url.base}: {error}; {hint}") from error
        if not met:
            reason = next(iter(self._left_out), "its repository has none that is ready")
            raise ServeError(f"--upstream {self._url.base}: no model to serve: {reason}")
        return met

    async def _names(self) -> list[str]:
        if self._url.model is not None:
            return [self._url.model]
        try:
            return await self._link.client.ready_models(_START_S)
        except UpstreamError as error:
            if error.failure in UNREACHED:
                raise
            return await self._listed(error)

    async def _listed(self, unindexed: UpstreamError) -> list[str]:
        """The models of a server that has no repository index, and why not. Raises UpstreamError, ServeError."""
        try:
            return await self._link.client.listed_models(_START_S)
        except UpstreamError as error:
            if error.failure in UNREACHED:
                raise
            raise ServeError(
                f"--upstream {self._url.base} does not list its models: {unindexed}; name each that you want by an "
                "--upstream of its own, with /v2/models/NAME behind the port"
            ) from unindexed

    async def _meet(self, name: str, row: int) -> list[UpstreamModel]:
        """The model, or nothing where it cannot be served, and the reason is told. Raises UpstreamError."""
        try:
            described = remote.describe(name, await self._link.client.metadata(name, _START_S), self._url.name)
            decode = self._decoder.times(described)
            sample = await self._decoder.sample(described, decode)
            times_ms = await self._timed(described, sample)
        except OnDeviceError as error:
            if isinstance(error, UpstreamError) and error.failure in UNREACHED:
                raise
            self._tell("upstream model left out", upstream=self._url.name, model=name, reason=str(error))
            self._left_out.append(f"{name}: {error}")
            return []
        learned = Learned(name, _seeded(described.published, times_ms), decode, used_at=monotonic())
        return [UpstreamModel(row, described, sample, learned, self._link.health.of_model(name))]

    async def _timed(self, described: RemoteModel, sample: Work) -> list[float]:
        """Round trips in ms; the first, for which it may have to load the model, is not among them."""
        await self._link.exchange(described, sample, _COLD_S)
        times: list[float] = []
        while len(times) < 2 or (len(times) < _RUNS and sum(times) < _TIME_MS):
            times.append((await self._link.exchange(described, sample, _COLD_S)).round_trip_ms)
        return times


def _seeded(published: Profile | None, times_ms: list[float]) -> Recent:
    """What is known of a model's round trip at first.

    Where its server has learned the inference's distribution, it is that one, later by what the way there and back and
    decoding are seen to add.
    """
    if published is None:
        return Recent(times_ms)
    known = published.distribution
    added_ms = max(float(np.median(times_ms)) - known.median_ms, 0.0)
    return Recent.seeded(known.shifted(added_ms), published.n)
