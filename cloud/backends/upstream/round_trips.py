"""How long the models of another server take from here, learned while they are used."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from ondevice.cloud.backends.backend import BackendTimes, InferenceResult
from ondevice.cloud.backends.learning import OwnOverhead
from ondevice.cloud.backends.upstream.model import UpstreamModel
from ondevice.protocol.picture import PictureHead
from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import Profile
from ondevice.timing.table import LatencyTable

# How often a model is timed that was not used for long.
AGAIN = 3
# A model that was not used for so long is timed again: that is another server's work.
_STALE_S = 10.0


class RoundTrips(BackendTimes):
    """Of these models: a row of `table` each for the round trip, and what comes around it. clock: monotonic, s."""

    def __init__(self, models: Sequence[UpstreamModel], clock: Callable[[], float]) -> None:
        self._models, self._clock = models, clock
        self._by_name = {model.name: model for model in models}
        self.table = LatencyTable(len(models))
        self._overhead = OwnOverhead()
        for model in models:
            self._write(model)

    def work_ms(self, picture: PictureHead | None) -> FloatArray:
        """For models that take only tensors, decoding, ms, [m]."""
        return np.array([known.learned.decode.expect(picture) if known.remote.feed else 0.0 for known in self._models])

    @property
    def way_ms(self) -> float:
        """What the way through this server adds."""
        return self._overhead.ms

    def profile(self, model: str) -> Profile:
        """The model's times: its server is their host; the threads are as it tells, else 0."""
        known = self._by_name[model]
        published = known.remote.published
        return known.learned.profile(known.remote.served.where, "oip", published.threads if published else 0)

    def answered(
        self, model: UpstreamModel, picture: PictureHead | None, result: InferenceResult, whole_ms: float
    ) -> None:
        """Learn from a request that this backend had for so long."""
        model.learned.used_at = self._clock()
        model.learned.invoke.add(result.infer_ms)
        self._write(model)
        if model.remote.feed and picture:
            model.learned.decode.add(picture, result.decode_ms)
        self._overhead.add(whole_ms, result.queue_ms + result.decode_ms + result.infer_ms)

    def take_stale(self) -> UpstreamModel | None:
        """One that has not run for long, for an old bad figure must not exile it; then that counts as run."""
        now = self._clock()
        for model in self._models:
            cost_ms = AGAIN * model.learned.invoke.distribution.mean_ms
            if model.health.available and model.learned.stale(now, _STALE_S, cost_ms):
                model.learned.used_at = now
                return model
        return None

    def renew(self, model: UpstreamModel, times_ms: Sequence[float]) -> None:
        """Take the times of a model that was stale."""
        model.learned.renew(times_ms)
        self._write(model)

    def _write(self, model: UpstreamModel) -> None:
        self.table.write(model.row, model.learned.invoke.distribution)
