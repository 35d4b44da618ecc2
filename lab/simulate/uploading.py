"""Simulated uploads: one device's pictures, one after the other over one link, with what its client learns on the way.

What is sent is chosen by a rule; then the endpoint, whose workers are idle, chooses the model by its policy, told what
a client tells it. The network is learned by the client's own code.
"""

from __future__ import annotations

import heapq
import itertools
from functools import partial
from typing import NamedTuple

import numpy as np

from ondevice.client.endpoint.reply import ParsedReply
from ondevice.client.executors import lessons
from ondevice.client.network import NetworkEstimates
from ondevice.errors import UsageError
from ondevice.lab.simulate import upload_rules
from ondevice.lab.simulate.outcomes import LATE, ON_TIME, OutcomeBatch, OutcomeCounts
from ondevice.lab.simulate.shared_link import Passage, SharedLink
from ondevice.lab.simulate.simulation import (
    CHUNK,
    Case,
    GroundTruth,
    RandomStreams,
    SimulationSettings,
    chooser,
    fates,
    ground_truths,
)
from ondevice.lab.simulate.upload_rules import CHOOSING_BOTH, AwaitedPicture, ClientOutlook, Decision
from ondevice.lab.simulate.upload_table import UploadTable
from ondevice.selection.problem import Requests
from ondevice.timing.arrays import FloatArray, IndexArray

# A request always has some time left, as a client tells it.
_LEAST_MS = 1e-3


class UploadUnderWay(NamedTuple):
    """A request under way. size_bytes: of its body. begun_ms: of its call. sent_ms: when its body was there."""

    size_bytes: int
    begun_ms: float
    sent_ms: float
    arrival: Passage
    server_ms: float
    infer_ms: float
    total_ms: float

    @property
    def network_ms(self) -> float:
        """What the network takes both ways."""
        return self.begun_ms + self.total_ms - self.sent_ms - self.server_ms


class UploadBatch(NamedTuple):
    """What became of n pictures. outcomes: `model` is a pair, model times k plus upload. sent_bytes [n]: 0 if none."""

    outcomes: OutcomeBatch
    sent_bytes: FloatArray


def simulate(case: Case, settings: SimulationSettings) -> OutcomeCounts:
    """Simulate all requests of a case that has uploads. Raises UsageError for a network that is not of traces."""
    streams, table = RandomStreams.of(settings.seed), _table(case)
    outcomes = no_outcomes(case, settings)
    draw_next, device = ground_truths(case, settings, streams), UploadingDevice(case, settings, streams)
    for first in range(0, settings.requests, CHUNK):
        truth = draw_next(first, min(CHUNK, settings.requests - first))
        asked = device.run(truth, table.draw(len(truth), streams.pictures))
        outcomes.add(asked.outcomes, float(asked.sent_bytes.sum()))
    return outcomes


def no_outcomes(case: Case, settings: SimulationSettings) -> OutcomeCounts:
    """Counts of each pair of model and upload, none counted yet."""
    top1 = case.models.models.top1[:, None] * _table(case).kept.T
    return OutcomeCounts(settings.requests, top1, settings.device.top1 if settings.device else 0.0)


def _table(case: Case) -> UploadTable:
    if case.table is None:
        raise UsageError("this case has no uploads")
    return case.table


class UploadingDevice:
    """One device. Its pictures must come in the order of their times."""

    def __init__(self, case: Case, settings: SimulationSettings, streams: RandomStreams) -> None:
        self._case, self._settings, self._conditions = case, settings, settings.uploading
        self._table, self._models = _table(case), case.models.models
        self._link = SharedLink(case.network, self._conditions.warm)
        self._network = NetworkEstimates()
        self._network.connected(self._link.rtt_ms)  # a client is before its first request
        both = case.policy in CHOOSING_BOTH
        self._rule = upload_rules.find(case.policy if both else case.upload, self._outlook())
        self._choose = None if both else chooser(case.policy, streams.choice)
        # The models as they are on each upload.
        self._on_upload = [self._models.with_top1(self._models.top1 * kept) for kept in self._table.kept]
        # What ends, and the replies that come, late ones too; each with its time and number.
        self._under_way: list[tuple[float, int, UploadUnderWay]] = []
        self._coming: list[tuple[float, int, UploadUnderWay]] = []
        self._number = itertools.count()

    def run(self, truth: GroundTruth, sizes_bytes: FloatArray) -> UploadBatch:
        """Ask for n pictures of these sizes [n, k], without heads."""
        n, m = len(truth), len(self._models)
        infer_ms = truth.times_ms(self._case.models, np.arange(m), np.arange(n)[:, None])
        pair, cloud_ms = np.full(n, m * len(self._table), np.intp), np.full(n, np.inf)
        sent_bytes, server_ms = np.zeros(n), np.zeros(n)
        for i, (at_ms, sizes) in enumerate(zip(truth.at_ms.tolist(), sizes_bytes, strict=True)):
            self._learn_until(at_ms)
            decision = self._rule.choose(AwaitedPicture(sizes, partial(self._all_ms, at_ms, sizes, infer_ms[i])))
            if decision is None:
                continue
            model, sent = self._sent(at_ms, sizes, decision, infer_ms[i])
            pair[i], cloud_ms[i] = model * len(self._table) + decision.upload, sent.total_ms
            sent_bytes[i], server_ms[i] = sent.size_bytes, sent.infer_ms
        return UploadBatch(self._outcomes(truth, pair, cloud_ms, server_ms), sent_bytes)

    def _sent(
        self, at_ms: float, sizes: FloatArray, decision: Decision, infer_ms: FloatArray
    ) -> tuple[int, UploadUnderWay]:
        """Send a picture: the model that it gets, and what comes of it."""
        upload, conditions = decision.upload, self._conditions
        size_bytes = int(sizes[upload])
        sent_ms = at_ms + decision.making_ms + conditions.client_ms
        arrival = self._link.send(sent_ms, size_bytes + self._table.head_bytes)
        at_server_ms = arrival.last_ms + conditions.server_ms
        model = decision.model
        if model is None:
            model = self._chosen(upload, at_ms, sent_ms, arrival, infer_ms)
        leaves_ms = at_server_ms + float(infer_ms[model])
        total_ms = leaves_ms + float(self._link.reply_ms(np.float64(leaves_ms), self._down_bytes)) - at_ms
        sent = UploadUnderWay(
            size_bytes, at_ms, sent_ms, arrival, leaves_ms - arrival.last_ms, float(infer_ms[model]), total_ms
        )
        number = next(self._number)
        heapq.heappush(self._under_way, (at_ms + min(total_ms, self._given_up_ms), number, sent))
        heapq.heappush(self._coming, (at_ms + total_ms, number, sent))
        return model, sent

    def _chosen(self, upload: int, at_ms: float, sent_ms: float, arrival: Passage, infer_ms: FloatArray) -> int:
        """The model that the endpoint chooses, by what it sees and is told."""
        assert self._choose
        upload_ms, reply = arrival.last_ms - arrival.first_ms, self._network.reply()
        requests = Requests.one(
            max(self._case.sla_ms - (sent_ms - at_ms), _LEAST_MS),
            upload_ms,
            self._network.fixed_ms(),
            self._settings.device_top1,
            wait_ms=np.full((1, 1), self._conditions.server_ms),
            **({"reply_ms": reply.given(upload_ms)} if reply else {}),
        )
        later_ms = arrival.last_ms + self._conditions.server_ms
        chosen = self._choose(
            self._on_upload[upload], requests, lambda: self._answered_ms(later_ms + infer_ms, at_ms)[None]
        )
        return int(chosen[0])

    def _all_ms(self, at_ms: float, sizes: FloatArray, infer_ms: FloatArray) -> FloatArray:
        """What each upload with each model would take in truth, [k, m]."""
        making_ms = self._table.making_ms + self._conditions.client_ms
        arrives_ms = np.array(
            [
                self._link.foresee(at_ms + later_ms, [int(size) + self._table.head_bytes])[0].last_ms
                for later_ms, size in zip(making_ms.tolist(), sizes.tolist(), strict=True)
            ]
        )
        return self._answered_ms(arrives_ms[:, None] + self._conditions.server_ms + infer_ms, at_ms)

    def _answered_ms(self, leaves_ms: FloatArray, at_ms: float) -> FloatArray:
        """How long after at_ms answers are there that leave at leaves_ms."""
        answered: FloatArray = leaves_ms + self._link.reply_ms(leaves_ms, self._down_bytes) - at_ms
        return answered

    def _learn_until(self, now_ms: float) -> None:
        """Take what has ended by now, in its order, and give the rule what has come."""
        while self._under_way and self._under_way[0][0] <= now_ms:
            ended_ms, _, sent = heapq.heappop(self._under_way)
            self._learn(ended_ms, sent)
        while self._coming and self._coming[0][0] <= now_ms:
            there_ms, _, sent = heapq.heappop(self._coming)
            self._rule.learn(there_ms, sent.size_bytes + self._table.head_bytes, sent.network_ms)

    def _learn(self, ended_ms: float, sent: UploadUnderWay) -> None:
        if sent.total_ms <= self._given_up_ms:
            self._link.keep(ended_ms)
            lessons.of_reply(self._network, _reply(sent), sent.size_bytes, ended_ms - sent.sent_ms)
        else:
            self._link.give_up(ended_ms)
            self._network.add_late(sent.size_bytes, ended_ms - sent.begun_ms)

    def _outcomes(
        self, truth: GroundTruth, pair: IndexArray, cloud_ms: FloatArray, server_ms: FloatArray
    ) -> OutcomeBatch:
        sla_ms, nothing = self._case.sla_ms, np.zeros(len(pair))
        fate, answer_ms = fates(cloud_ms, truth.device_ms, sla_ms, self._settings.duplication)
        # What is not sent is the device's alone, where its answer counts.
        alone = np.isinf(cloud_ms)
        own_ms = truth.device_ms if self._settings.duplication else np.full(len(pair), np.inf)
        fate = np.where(alone, np.where(own_ms <= sla_ms, ON_TIME, LATE), fate)
        # Nothing is waited for after the deadline where nothing was sent.
        answer_ms = np.where(alone, np.minimum(own_ms, sla_ms), answer_ms)
        return OutcomeBatch(pair, fate, answer_ms, server_ms, nothing)

    def _outlook(self) -> ClientOutlook:
        case, rtt_ms = self._case, self._link.rtt_ms
        return ClientOutlook(
            self._table, self._models, self._network, case.sla_ms, rtt_ms, self._settings.device_top1, case.policy
        )

    @property
    def _given_up_ms(self) -> float:
        """When a request is given up, after its call."""
        return self._case.sla_ms + self._conditions.patience_ms

    @property
    def _down_bytes(self) -> int:
        return self._settings.sizes.down_bytes


def _reply(sent: UploadUnderWay) -> ParsedReply:
    """What the endpoint says of its own times."""
    upload_ms = sent.arrival.last_ms - sent.arrival.first_ms
    return ParsedReply((), "", None, 0.0, 0.0, sent.infer_ms, sent.server_ms, upload_ms)
