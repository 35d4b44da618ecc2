"""One device's uploads over one link: beside arithmetic by hand, and what must hold between rules."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from simulating import four

from ondevice.errors import UsageError
from ondevice.lab.link.trace import Trace
from ondevice.lab.simulate import arrivals, device_model, legs, upload_rules
from ondevice.lab.simulate.arrivals import Arrivals
from ondevice.lab.simulate.grid import Grid, UploadPlan, run
from ondevice.lab.simulate.legs import Sizes, TracedNetwork
from ondevice.lab.simulate.modelset import ModelSet
from ondevice.lab.simulate.outcomes import ON_TIME, OutcomeCounts
from ondevice.lab.simulate.queueing import simulate
from ondevice.lab.simulate.simulation import Case, RandomStreams, SimulationSettings, ground_truths
from ondevice.lab.simulate.upload_rules import HINDSIGHT, JELLYFISH, AwaitedPicture, Decision, UploadRule
from ondevice.lab.simulate.upload_table import PictureSettings, UploadConditions, UploadFacts, UploadTable
from ondevice.lab.simulate.uploading import UploadingDevice
from ondevice.protocol.rung import Rung

PHONE = device_model.given(0.44, 90)
SETTINGS = SimulationSettings(400, device=PHONE)
LOAD = arrivals.find("poisson:rate=2")
CELLULAR = "trace:cellular,rtt=40"


def table(models: ModelSet) -> UploadTable:
    return UploadTable.of(UploadFacts(models.sides), PictureSettings(), [Rung(128, 40), Rung(192, 40)])


def case(models: ModelSet, upload: str, network: str = CELLULAR, sla_ms: float = 150.0) -> Case:
    policy = upload if upload in (HINDSIGHT, JELLYFISH) else "effective"
    rule = "" if policy == upload else upload
    return Case(models, legs.find(network), sla_ms, policy, LOAD, table=table(models), upload=rule)


def outcomes(
    models: ModelSet,
    upload: str,
    settings: SimulationSettings = SETTINGS,
    network: str = CELLULAR,
    sla_ms: float = 150.0,
) -> OutcomeCounts:
    return simulate(case(models, upload, network, sla_ms), settings)


def each(ms: float) -> Arrivals:
    """A picture each so many ms."""
    return Arrivals("each", queued=True, trace=Trace(np.array([ms]), ms))


def test_a_request_takes_what_its_parts_take(tmp_path: Path) -> None:
    # A packet each 10 ms; pictures come each second, so that none meets another.
    steady, models = Trace(np.arange(10.0, 1001.0, 10.0), 1000.0), four(tmp_path)
    exact = replace(models, models=replace(models.models, std_ms=np.zeros(4)))
    asked = Case(
        exact, TracedNetwork("steady", steady, steady, 40.0), 1_000.0, "static-accuracy", each(1000.0),
        table=table(exact), upload="192,40",
    )  # fmt: skip
    conditions = UploadConditions(client_ms=1.5, server_ms=3.0)
    settings, streams = SimulationSettings(50, sizes=Sizes(down_bytes=1_000), uploading=conditions), RandomStreams.of(0)
    truth = ground_truths(asked, settings, streams)(0, 50)
    found = UploadingDevice(asked, settings, streams).run(truth, np.full((50, len(table(exact))), 4_000.0))
    # Made in 8 + 1.5 ms; 3 packets, the third at 30, and 20 ms there; 3 + 12 ms there; a packet at 70, and 20 ms back.
    assert found.outcomes.answer_ms == pytest.approx(90.0)
    assert found.outcomes.server_ms == pytest.approx(12.0)
    assert found.sent_bytes.tolist() == [4_000.0] * 50
    assert (found.outcomes.fate == ON_TIME).all()


class RecordingRule(UploadRule):
    """Always sends the same, and keeps what it is told."""

    told: ClassVar[list[tuple[float, float, float]]] = []

    def choose(self, picture: AwaitedPicture) -> Decision:
        return self.decided(self.table.row("192,40"))

    def learn(self, at_ms: float, size_bytes: float, network_ms: float) -> None:
        self.told.append((at_ms, size_bytes, network_ms))


@pytest.mark.parametrize("sla_ms", [1_000.0, 60.0])
def test_a_rule_is_told_of_late_replies_when_they_come(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sla_ms: float
) -> None:
    steady, models = Trace(np.arange(10.0, 1001.0, 10.0), 1000.0), four(tmp_path)
    exact = replace(models, models=replace(models.models, std_ms=np.zeros(4)))
    monkeypatch.setattr(upload_rules, "find", lambda text, outlook: RecordingRule(outlook))
    monkeypatch.setattr(RecordingRule, "told", [])
    asked = Case(
        exact, TracedNetwork("steady", steady, steady, 40.0), sla_ms, "static-accuracy", each(1000.0),
        table=table(exact), upload="192,40",
    )  # fmt: skip
    settings, streams = SimulationSettings(2, sizes=Sizes(down_bytes=1_000)), RandomStreams.of(0)
    truth = ground_truths(asked, settings, streams)(0, 2)
    UploadingDevice(asked, settings, streams).run(truth, np.full((2, len(table(exact))), 4_000.0))
    # Made in 8 ms; the last of 3 packets at 30, and 20 ms there; inferred in 12; a packet at 70, and 20 ms back.
    assert RecordingRule.told == [pytest.approx((float(truth.at_ms[0]) + 90.0, 4_500, 70.0))]


def test_the_round_trip_is_known_before_the_first_request(tmp_path: Path) -> None:
    models, fast = four(tmp_path), Trace.constant(50e6)
    largest = []
    for rtt_ms in (20.0, 2_000.0):  # then nothing can be there within 250 ms, and as little as possible is sent
        asked = replace(case(models, "auto", sla_ms=250.0), network=TracedNetwork("fast", fast, fast, rtt_ms))
        streams = RandomStreams.of(0)
        truth = ground_truths(asked, SETTINGS, streams)(0, 1)
        sizes = table(models).size_bytes[None]
        largest.append(float(UploadingDevice(asked, SETTINGS, streams).run(truth, sizes).sent_bytes[0]))
    assert largest[1] == int(table(models).ladder.size_bytes.min())
    assert largest[0] > 2 * largest[1]


def test_accuracy_is_of_the_model_on_what_was_sent(tmp_path: Path) -> None:
    models = four(tmp_path)
    found = outcomes(models, "192,40", network="trace:wifi,rtt=10", sla_ms=2_000.0)
    best = models.models.top1.argmax()
    row = table(models).row("192,40")
    assert found.effective_top1.value == pytest.approx(models.models.top1[best] * table(models).kept[row, best])
    assert found.shares[best] == 1
    assert found.upload_shares.tolist() == [float(i == row) for i in range(len(table(models)))]


def test_no_rule_is_better_than_hindsight(tmp_path: Path) -> None:
    models = four(tmp_path)
    for network in ("trace:cellular,rtt=40", "trace:umts,rtt=40"):
        bound = outcomes(models, HINDSIGHT, network=network)
        for upload in ("auto", "file", "scaled", "pieslicer", "128,40", "192,40", "224,90", JELLYFISH):
            assert outcomes(models, upload, network=network).effective_top1.value <= bound.effective_top1.value + 1e-9
        assert bound.gain(outcomes(models, "scaled", network=network)).low > 0


def test_choosing_what_is_sent_gains_where_the_link_is_slow(tmp_path: Path) -> None:
    models, slow = four(tmp_path), "trace:umts,rtt=40"
    assert outcomes(models, "auto", network=slow).gain(outcomes(models, "scaled", network=slow)).low > 0.02


def test_what_is_not_sent_is_the_devices(tmp_path: Path) -> None:
    models, late = four(tmp_path), 60.0  # the link alone takes 40 ms, and making an upload 8
    found = outcomes(models, HINDSIGHT, sla_ms=late)
    assert found.shares[-1] > 0.5
    assert found.effective_top1.value < 0.44  # the device's answer takes 90 ms
    assert outcomes(models, HINDSIGHT, sla_ms=95.0).attainment.value == 1
    nobody = outcomes(models, HINDSIGHT, replace(SETTINGS, device=None), sla_ms=late)
    assert nobody.attainment.value < 0.5
    assert nobody.answer_times.quantile_ms(1.0) < 1.01 * late


def test_a_lost_connection_costs_without_a_spare(tmp_path: Path) -> None:
    # The next request comes 10 ms after one is given up, and a handshake takes 40 at least.
    hurried = replace(case(four(tmp_path), "scaled"), arrivals=each(160.0))
    warm, anew = (simulate(hurried, replace(SETTINGS, uploading=UploadConditions(warm=warm))) for warm in (True, False))
    assert warm.gain(anew).low > 0


def test_the_same_whatever_the_jobs_and_a_row_for_each(tmp_path: Path) -> None:
    models = four(tmp_path)
    plan = UploadPlan.of(["scaled", "100,50"], [models], PictureSettings())
    grid = Grid(
        [models], [legs.find("trace:umts,rtt=40")], [LOAD], [150.0, 250.0],
        ["effective", "hindsight", "device"], uploads=plan,
    )  # fmt: skip
    cases = grid.cases()
    assert [(each.policy, each.upload) for each in cases[::2]] == [
        ("effective", "scaled"), ("effective", "100,50"), ("hindsight", ""), ("device", ""),
    ]  # fmt: skip
    rows = [done.row(SETTINGS) for done in run(cases, SETTINGS)]
    assert [done.row(SETTINGS) for done in sorted(run(cases, SETTINGS, 2), key=lambda done: done.number)] == rows
    assert len({tuple(row) for row in rows}) == 1
    first = rows[0]
    assert (first["workers"], first["queue"], first["knows"], first["upload"]) == (None, None, None, "scaled")
    sent = [value for key, value in first.items() if key.startswith("upload_")]
    assert sum(sent) == pytest.approx(1)
    assert rows[-1]["sent_bytes"] == 0
    # Pictures, arrivals and device are the same in all cases.
    assert rows[0]["device_share"] + rows[0]["attainment"] == pytest.approx(1)


def test_what_cannot_be_simulated(tmp_path: Path) -> None:
    models = four(tmp_path)
    with pytest.raises(UsageError, match="uploads are simulated on traces"):
        outcomes(models, "scaled", network="normal:mean=50,std=20")
    with pytest.raises(UsageError, match="the input side of v1_128 is not known"):
        UploadPlan.of(["scaled"], [replace(models, sides={})], PictureSettings())
