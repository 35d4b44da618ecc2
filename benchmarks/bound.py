"""The hindsight bound of `offload.py modes`: what knowing all times in advance would make of the same requests.

For each cell the same pictures at the same moments of the trace, over one link, with a phone that takes as long: for
each request, the pair of upload and model with the greatest accuracy, by the endpoint's tables, that will be on time;
nothing where none will be (`ondevice.lab.simulate`, policy `hindsight`). It does not know which model is right; whether
it is, is then looked up for the very picture as it is sent. What client and endpoint take besides is the median of some
requests without a link.
"""

from __future__ import annotations

import json
import statistics
import urllib.request
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sendable import Photos, Sendable

from ondevice import OffloadClient, Runner
from ondevice.client.offload import Options
from ondevice.lab.link import networks
from ondevice.lab.link.trace import Trace
from ondevice.lab.simulate import device_model
from ondevice.lab.simulate.arrivals import Arrivals
from ondevice.lab.simulate.legs import TracedNetwork
from ondevice.lab.simulate.modelset import ModelSet, as_drawn
from ondevice.lab.simulate.outcomes import LATE
from ondevice.lab.simulate.simulation import Case, GroundTruth, RandomStreams, SimulationSettings, ground_truths
from ondevice.lab.simulate.upload_rules import HINDSIGHT
from ondevice.lab.simulate.upload_table import PictureSettings, UploadFacts, UploadTable
from ondevice.lab.simulate.uploading import UploadBatch, UploadingDevice
from ondevice.selection.problem import Models
from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import loads

# So many requests without a link tell what client and endpoint take; any deadline that they keep.
ASKED, PATIENT_MS = 20, 5_000.0
RESAMPLES = 2000


class Phone(NamedTuple):
    """What all cells have: the device's model, and its time for each picture, ms."""

    model: Path
    times_ms: Sequence[float]


class Bound:
    """models: the endpoint's files. port: of an endpoint that has them, and has learned their times."""

    def __init__(self, models: Sequence[Path], photos: Photos, phone: Phone, port: int) -> None:
        told = _described(port)
        profiles = tuple(loads(json.dumps(told["profiles"])))
        self._models = ModelSet("served", Models.of(told["top1"], profiles), told["top1"], as_drawn(profiles))
        self._device = device_model.given(told["top1"][Runner(phone.model).name], 0.0)
        self._sendable = _sendable(models, photos, port, self._models.models.names)
        self._phone, self._port = phone, port

    def effective(self, trace: str, sla_ms: float, at_ms: FloatArray, round_trip_ms: float) -> list[bool]:
        """Of each picture, asked for at at_ms [n] after the trace's begin, whether it is right and on time."""
        arrivals = Arrivals("as asked", queued=True, trace=Trace(at_ms, float(at_ms[-1])))
        network = TracedNetwork(trace, *networks.find(trace), round_trip_ms)
        case = Case(self._models, network, sla_ms, HINDSIGHT, arrivals, table=self._sendable.table)
        settings, streams = SimulationSettings(len(at_ms), device=self._device), RandomStreams.of(0)
        truth = self._with_phone(ground_truths(case, settings, streams)(0, len(at_ms)))
        return self._right(UploadingDevice(case, settings, streams).run(truth, self._sendable.sizes_bytes))

    def _with_phone(self, truth: GroundTruth) -> GroundTruth:
        return replace(truth, device_ms=np.array(self._phone.times_ms[: len(truth)]))

    def _right(self, batch: UploadBatch) -> list[bool]:
        names, count = self._models.models.names, len(self._sendable.table)
        own, right = Runner(self._phone.model).name, []
        for photo, (pair, fate) in enumerate(zip(batch.outcomes.model, batch.outcomes.fate, strict=True)):
            model, upload = divmod(int(pair), count)
            asked = (names[model], photo, upload) if model < len(names) else (own, photo, count - 1)
            right.append(bool(fate != LATE and self._sendable.right(*asked)))
        return right


class Closed(NamedTuple):
    """Of n pictures in each of c cells, whether they were right and on time: [c, n]."""

    chosen: Sequence[Sequence[bool]]
    usual: Sequence[Sequence[bool]]
    bound: Sequence[Sequence[bool]]

    def share(self) -> str:
        """The sum of the gains over the sum of the gaps, with its 95 % interval: a bootstrap over the pictures."""
        chosen, usual, bound = (np.array(each, float) for each in self)
        gain, gap = (chosen - usual).sum(axis=0), (bound - usual).sum(axis=0)
        drawn = np.random.default_rng(0).integers(len(gain), size=(RESAMPLES, len(gain)))
        low, high = np.quantile(gain[drawn].sum(axis=1) / gap[drawn].sum(axis=1), [0.025, 0.975])
        return f"{gain.sum() / gap.sum():.3f} ({low:.3f} to {high:.3f})"


def _described(port: int) -> dict[str, Any]:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/cnnselect") as reply:
        parameters: dict[str, Any] = json.load(reply)["parameters"]
    return parameters


def _sendable(models: Sequence[Path], photos: Photos, port: int, names: Sequence[str]) -> Sendable:
    """The pictures as the endpoint's ladder has them."""
    sides = {runner.name: max(runner.input.height, runner.input.width) for runner in map(Runner, models)}
    file_bytes = round(statistics.fmean(Path(path).stat().st_size for path in photos.paths))
    with OffloadClient(f"http://127.0.0.1:{port}", [], PATIENT_MS, "cloud", Options(upload="scaled")) as client:
        assert client.ready(PATIENT_MS / 1e3)
        assert client.cloud
        endpoint = client.cloud.endpoint
        answers = [client.classify(path) for path in photos.paths[:ASKED]]
    assert endpoint
    assert endpoint.ladder
    besides_ms = statistics.median(answer.total_ms - answer.invoke_ms for answer in answers)
    settings = PictureSettings(file_bytes, making_ms=besides_ms)
    facts = UploadFacts({name: sides[name] for name in names})
    table = UploadTable.of(facts, settings, published=endpoint.ladder.of(names))
    # What is read, decoded and answered of a file takes about as long as a smaller picture.
    return Sendable(models, photos, replace(table, making_ms=np.full(len(table), besides_ms)), endpoint.ladder.crop)
