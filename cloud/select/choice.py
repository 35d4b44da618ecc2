"""A choice of model: the candidates with their times of this moment, the request, and what was chosen."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np

from ondevice.cloud.backends.backend import Backend
from ondevice.cloud.select.accuracies import Accuracies
from ondevice.cloud.select.residual import WaitError
from ondevice.cloud.select.uploads import OfferedUploads
from ondevice.protocol.rung import Rung
from ondevice.protocol.served import ServedModel
from ondevice.selection import anytime
from ondevice.selection.ontime import on_time
from ondevice.selection.problem import Models, Requests, filled
from ondevice.selection.replies import ReplyDistribution
from ondevice.timing.arrays import BoolArray, FloatArray, IndexArray
from ondevice.timing.quantiles import P90, POINTS, SCATTERED

# A wait that is shorter by less than this brings no other model within reach: models differ by more.
_SURPRISE_MS = 1.0
# A wait after which nothing is in time, and with which every sum is finite.
_NEVER_MS = 1e12

# Of uploads that strangers may name so many are remembered: more than any ladder has, and little memory.
_KEPT = 64

# A backend, and a row of its models.
Place = tuple[Backend, int]
Places = tuple[Place, ...]


class NetworkTimes(NamedTuple):
    """A request's deadline and way, ms: what policies read, as far as it does not depend on the model."""

    sla_ms: float
    upload_ms: float
    return_ms: float
    device_top1: float

    @property
    def budget_ms(self) -> float:
        """What upload and reply leave of the deadline."""
        return self.sla_ms - self.upload_ms - self.return_ms


class Candidates:
    """The models at these places, each a backend and a row of it, which stand together as what a policy takes.

    uploads: what these leave of the models' accuracies.
    """

    def __init__(self, places: Places, uploads: OfferedUploads | None = None) -> None:
        self.places = places
        models = [backend.models[row] for backend, row in places]
        self._names, self.top1 = tuple(served.name for served in models), Accuracies(models, uploads)
        backends = dict.fromkeys(backend for backend, _ in places)
        self.groups = [(b, _rows([row for c, row in places if c is b])) for b in backends]
        self._versions: tuple[int, ...] = ()
        # By what was sent; the models with the times of these versions alone.
        self._models, self._chains = lru_cache(_KEPT)(self._made), lru_cache(_KEPT)(self._chained)

    def across(self, times_ms: Callable[[Backend], FloatArray]) -> FloatArray:
        """What each backend tells of all its models, [m] of these."""
        told = [times_ms(backend)[rows] for backend, rows in self.groups]
        return told[0] if len(told) == 1 else np.concatenate(told)

    def spread(self, of_each: Sequence[float]) -> FloatArray:
        """What holds for all models of a backend, in the order of `groups`, [m], or [1] where it is one for all."""
        if len(of_each) == 1:
            return np.array(of_each)
        given = {backend: value for (backend, _), value in zip(self.groups, of_each, strict=True)}
        return self.across(lambda backend: np.full(len(backend.models), given[backend]))

    def chains(self, most: int, upload: Rung | None = None) -> anytime.Chains:
        """The sets of up to `most` models that may answer one request; smaller ones where they would be too many."""
        return self._chains(anytime.largest(len(self._names), most), upload)

    def models(self, upload: Rung | None = None) -> Models:
        """With the accuracies on what was sent, and the times of this moment; made anew only when one has changed."""
        versions = tuple(backend.times.table.version for backend, _ in self.groups)
        if versions != self._versions:
            tables = [(backend.times.table, rows) for backend, rows in self.groups]
            times = [(t.mean_ms[rows], t.std_ms[rows], t.quantiles_ms[rows]) for t, rows in tables]
            self._times = [np.concatenate(figures) for figures in zip(*times, strict=True)]
            self._models.cache_clear()
            self._versions = versions
        return self._models(upload)

    def _made(self, upload: Rung | None) -> Models:
        return Models(self._names, self.top1.on(upload), *self._times)

    def _chained(self, most: int, upload: Rung | None) -> anytime.Chains:
        return anytime.Chains.of(self.models(upload), most)


def _rows(rows: list[int]) -> slice | IndexArray:
    """An index of these rows of an array; for neighbours a slice, which takes a fifth of the time."""
    together = rows == list(range(rows[0], rows[0] + len(rows)))
    return slice(rows[0], rows[0] + len(rows)) if together else np.array(rows)


@dataclass(eq=False)  # frozen it takes three times as long to make, for every request
class Problem:
    """A choice to be made: among which models, their times, the request, and wait_ms [m], all but the inference.

    queue_ms [m]: what newcomers wait for a worker. work_ms [m]: the part of the wait for which a
    worker is kept: decoding, loading. around_ms [m]: that, and the way through the server.
    room_ms [m] or [1]: how long it may keep a worker without making late anyone it comes before. pressed [m] or [1]: by
    how much the queue is filled for others, in it and refused, from 0 to 1. saturated: whether all backends have
    something to do. way_ms [21]: by how much all but inference and wait took longer than expected lately, equally
    likely points; longer: the same of the wait; residual_ms [21]: of both, which are independent, non-decreasing.
    reply: its distribution, if known. budget_ms: the network's. upload: what was sent, for which the models are.
    """

    candidates: Candidates
    models: Models
    network: NetworkTimes
    wait_ms: FloatArray
    queue_ms: FloatArray
    work_ms: FloatArray
    around_ms: FloatArray
    room_ms: FloatArray
    pressed: FloatArray
    saturated: bool
    way_ms: FloatArray
    longer: WaitError
    residual_ms: FloatArray
    reply: ReplyDistribution | None
    budget_ms: float
    upload: Rung | None = None

    def expected_top1(self, served: ServedModel) -> float | None:
        """The accuracy of a model on what was sent; None where nobody measured any."""
        return self.candidates.top1.expected(served, self.upload)

    @cached_property
    def takes_ms(self) -> FloatArray:
        """How long each model is expected to keep a worker, [m]."""
        return self.models.mean_ms + self.work_ms

    @cached_property
    def harms(self) -> BoolArray:
        """Which models would make others late, [m]."""
        return self.takes_ms > self.room_ms

    @cached_property
    def requests(self) -> Requests:
        """The request as policies take it."""
        sla_ms, upload_ms, return_ms, device_top1 = [np.array([figure]) for figure in self.network]
        # What the network and the server add are independent: each point of the one goes with some point of the other.
        reply_ms = self.reply.given(self.network.upload_ms) if self.reply else self.network.return_ms
        late_ms = (reply_ms + self.residual_ms[SCATTERED])[None]
        return Requests(
            sla_ms, upload_ms, return_ms, self._allowed_ms[None], device_top1, late_ms,
            fill=self.fill[None], work_ms=self.work_ms[None],
        )  # fmt: skip

    @property
    def with_certain_reply(self) -> Problem:
        """The problem as far as the server can help it: the reply takes return_ms."""
        return dataclasses.replace(self, reply=None) if self.reply else self

    def with_less_work(self, less_ms: FloatArray) -> Problem:
        """The problem if the server had so much less to do for each model, [m]."""
        wait_ms, work_ms, around_ms = self.wait_ms - less_ms, self.work_ms - less_ms, self.around_ms - less_ms
        return dataclasses.replace(self, wait_ms=wait_ms, work_ms=work_ms, around_ms=around_ms)

    def may_be_on_time(self, probability: float) -> bool:
        """Whether any model may be on time with this probability, above 0, for all that two look-ups tell.

        Of POINTS residuals so many as the rest of the probability has room for may be too long, and the chance at the
        longest of the others bounds what all of them together can come to.
        """
        spared = int(POINTS * (1 - probability))
        longest = POINTS - 1 - spared
        least = (POINTS * probability - longest) / (spared + 1)
        spare_ms = (self.budget_ms - float(self.residual_ms[longest])) - self.wait_ms
        likely = spare_ms >= self.models.quantiles_ms[:, int(least * (POINTS - 1))]
        return bool((likely & ~self.harms).any())

    def needed_ms(self, probability: float) -> float:
        """What must be left before the deadline when the surest model is begun, to be in time with this probability.

        As if inference and way were long at once, which is a little too careful and costs two look-ups.
        """
        (surest, _), level = self.models.surest, math.ceil(probability * (POINTS - 1))
        return float(self.models.quantiles_ms[surest, level] + self.way_ms[level] + self.around_ms[surest])

    def back_ms(self, queue_ms: FloatArray, probability: float) -> float:
        """When its client may ask again, so that the queue, queue_ms [m] long, has become short enough meanwhile for
        the surest model to be in time with this probability, as far as nobody else comes.

        The way there and back counts, and so does that a shorter wait is off by less. No wait is longer than the queue:
        where nobody waits nothing is refused. What those are in the way that wait behind it has to wait for its place.
        """
        (surest, _), level = self.models.surest, math.ceil(probability * (POINTS - 1))
        shortest_ms, part = float(queue_ms[surest]), float(self.longer.points[level])
        spare_ms = self.budget_ms - self.needed_ms(probability)
        bearable_ms = max((spare_ms - part * self.longer.turn_ms) / (1 + part), 0.0)
        if self.harms[surest]:
            bearable_ms = 0.0
        return max(shortest_ms - bearable_ms - self.network.upload_ms - self.network.return_ms, 0.0)

    @cached_property
    def fill(self) -> FloatArray:
        """How full the queue is taken to be, [m]."""
        surest, worst_ms = self.models.surest
        spare_ms = self.budget_ms - float(self.way_ms[-1] + self.around_ms[surest]) - worst_ms
        return np.maximum(filled(self.queue_ms, self.longer.longest_ms(spare_ms)), self.pressed)

    @property
    def _allowed_ms(self) -> FloatArray:
        """The wait [m]; what would make others late is never in time."""
        return np.where(self.harms, _NEVER_MS, self.wait_ms) if self.saturated else self.wait_ms


class Choice(NamedTuple):
    """A model for a request, and what was known when it was chosen. policy: by which rule."""

    problem: Problem
    policy: str
    chosen: int

    @property
    def backend(self) -> Backend:
        """Where it runs."""
        return self.problem.candidates.places[self.chosen][0]

    @property
    def served(self) -> ServedModel:
        """The model."""
        backend, row = self.problem.candidates.places[self.chosen]
        return backend.models[row]

    @property
    def top1(self) -> float:
        """Its accuracy on what was sent; 0 where nobody measured any."""
        return float(self.problem.models.top1[self.chosen])

    @property
    def budget_ms(self) -> float:
        """What upload and reply leave of the deadline."""
        return self.problem.budget_ms

    @property
    def takes_ms(self) -> float:
        """How long it is expected to keep a worker."""
        return float(self.problem.takes_ms[self.chosen])

    @property
    def fill(self) -> float:
        """How full the queue was taken to be, from 0 to 1: what the price of a worker's time followed."""
        return float(self.problem.fill[self.chosen])

    @property
    def is_thriftiest(self) -> bool:
        """Whether none keeps a worker for a shorter time."""
        return bool(self.takes_ms <= self.problem.takes_ms.min())

    @property
    def mean_ms(self) -> float:
        """The whole, upload and reply included, in the mean."""
        return self._overhead_ms + float(self.problem.models.mean_ms[self.chosen])

    @property
    def p90_ms(self) -> float:
        """The whole, upload and reply included, with the 90th percentile of the inference."""
        return self._overhead_ms + float(self.problem.models.quantiles_ms[self.chosen, P90])

    def holds(self, longer_ms: float) -> bool:
        """Whether it would be made again after a wait that was so much longer than foreseen, or shorter.

        It would if it is in time for certain even so, and no more accurate model has come within reach.
        """
        models, wait_ms = self.problem.models, self.problem.wait_ms
        worst_ms = models.quantiles_ms[self.chosen, -1] + self.problem.residual_ms[-1]
        spare_ms = self.problem.budget_ms - wait_ms[self.chosen] - worst_ms
        if longer_ms > spare_ms:
            return False
        return longer_ms > -_SURPRISE_MS or bool(models.top1[self.chosen] >= models.top1.max())

    @property
    def probability_on_time(self) -> float:
        """The chance that the client has the reply within its deadline."""
        return float(on_time(self.problem.models, self.problem.requests)[0, self.chosen])

    @property
    def _overhead_ms(self) -> float:
        network, wait_ms = self.problem.network, float(self.problem.wait_ms[self.chosen])
        return network.upload_ms + wait_ms + network.return_ms
