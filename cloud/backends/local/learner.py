"""What is known of the times of the models on this machine, each figure told what it was measured on."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from statistics import median

import numpy as np

from ondevice.cloud.backends.decoding import Decoding, agree
from ondevice.cloud.backends.learning import Learned, OwnOverhead
from ondevice.cloud.backends.local.store import Saved, Setting
from ondevice.cloud.backends.workers.frames import Message
from ondevice.protocol.picture import PictureHead
from ondevice.timing.arrays import FloatArray
from ondevice.timing.recent import Recent
from ondevice.timing.table import LatencyTable

# How often a model is timed at the start, where 20 runs outline its quantiles, and when it has not run for long.
_RUNS, _AGAIN = 20, 5
# A model that did not run for so long is timed again.
_STALE_S = 2.0
# Working out a model's figures costs as much as choosing by them: with every eighth sample, once there are some.
_REFRESH, _FEW = 8, 48

# Has a worker time a loaded model so many times: gives its reply.
Measure = Callable[[int], Awaitable[Message]]


class Learner:
    """The times of `count` models; a row for each, in the order in which they are met. saved: by name.

    tell: called with an event and its fields.
    """

    def __init__(self, count: int, saved: Mapping[str, Saved], tell: Callable[..., None]) -> None:
        self.models: list[Learned] = []
        self.table = LatencyTable(count)
        self.overhead = OwnOverhead()
        self._saved, self._tell = saved, tell
        self._decoding = Decoding()
        self._dropped: set[str] = set()
        self._nothing = np.zeros(count)

    async def meet(self, described: Message, measure: Measure, now: float) -> None:
        """Begin with one more model: with what was saved, if a first measurement does not contradict it."""
        name, saved = described["name"], self._of_this_file(described)
        height, width = described["input"]["shape"][1:3]
        known = Learned(name, Recent(), self._decoding.of((height, width)), used_at=now, sha256=described["sha256"])
        known.loaded(described["load_ms"], now)
        if saved:
            known.decode.take(saved.decode)
        timed = await measure(_AGAIN if saved else _RUNS)
        if _decoded(known, timed):
            self._dropped.add(name)
        if saved and agree(saved.profile.distribution.median_ms, median(timed["invoke_ms"])):
            known.invoke = Recent.seeded(saved.profile.distribution, saved.profile.n)
        else:
            if saved:
                self._dropped.add(name)
                timed = await measure(_RUNS)
            known.invoke = Recent(timed["invoke_ms"])
        self.table.write(len(self.models), known.invoke.distribution)
        self.models.append(known)

    def _of_this_file(self, described: Message) -> Saved | None:
        """What was saved under its name, unless of another file."""
        name = described["name"]
        saved = self._saved.get(name)
        if saved and saved.sha256 not in ("", described["sha256"]):
            reason = "another file had this name when they were saved: they are measured anew"
            self._tell("profiles dropped", models=[name], error=reason)
            return None
        return saved

    def met(self) -> None:
        """All are there: say of which of them saved times were not believed."""
        self._decoders = list(dict.fromkeys(known.decode for known in self.models))
        self._decoder = np.array([self._decoders.index(known.decode) for known in self.models])
        if self._dropped:
            reason = "a first measurement contradicts what was saved: they are measured anew"
            self._tell("profiles dropped", models=sorted(self._dropped), error=reason)

    def decode_ms(self, picture: PictureHead | None) -> FloatArray:
        """What decoding a picture is expected to take for each model, ms, [m]."""
        if picture is None:
            return self._nothing
        each_ms = [times.expect(picture) for times in self._decoders]
        told_ms: FloatArray = self._nothing + each_ms[0] if len(each_ms) == 1 else np.array(each_ms)[self._decoder]
        return told_ms

    def loading_ms(self, cold: Iterable[bool], now: float) -> FloatArray:
        """What loading those that are cold is expected to take at `now`, ms, [m]."""
        pairs = zip(self.models, cold, strict=True)
        return np.array([known.loading_ms(now) if is_cold else 0.0 for known, is_cold in pairs])

    def timed(self, row: int, picture: PictureHead | None, reply: Message, now: float) -> None:
        """Learn from a worker's reply at `now`."""
        known = self.models[row]
        known.invoke.add(reply["invoke_ms"])
        known.used_at = now
        if known.invoke.count % _REFRESH == 0 or known.invoke.count < _FEW:
            self.table.write(row, known.invoke.distribution)
        if picture is not None:
            known.decode.add(picture, reply["decode_ms"])
        if load_ms := reply.get("load_ms"):
            known.loaded(load_ms, now)
            self._tell("loaded", model=known.model, load_ms=load_ms)

    def loaded(self, row: int, worker: int, load_ms: float, now: float) -> None:
        """Learn from a load at `now` by a worker, its process id, that had nothing to do; 0 ms: it was there."""
        known = self.models[row]
        if load_ms:
            known.loaded(load_ms, now)
        self._tell("loaded", model=known.model, worker=worker, load_ms=load_ms)

    def stale(self, now: float) -> Iterable[tuple[int, int, float]]:
        """Those that have not run for long, for an old bad figure must not exile them: the row, how many runs are to be
        timed, and what they take, ms.
        """
        for row, known in enumerate(self.models):
            cost_ms = _AGAIN * float(self.table.mean_ms[row])
            if known.stale(now, _STALE_S, cost_ms):
                yield row, _AGAIN, cost_ms

    def remeasured(self, row: int, timed: Message) -> None:
        """Take what a worker has timed of a model that was stale, its decoding included."""
        known = self.models[row]
        known.renew(timed["invoke_ms"])
        _decoded(known, timed)
        self.table.write(row, known.invoke.distribution)

    def saved(self, setting: Setting) -> list[Saved]:
        """What is to be kept."""
        return [Saved.of(known, setting) for known in self.models]


def _decoded(known: Learned, timed: Message) -> bool:
    """Take what decoding took; whether it contradicts what was known."""
    return known.decode.measured(PictureHead.told(timed["picture"]), timed["decode_ms"])
