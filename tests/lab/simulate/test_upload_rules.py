"""What rules send, of what is known and, with hindsight, of what will be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from simulating import four

from ondevice.client.network import NetworkEstimates, NetworkSample
from ondevice.errors import UsageError
from ondevice.lab.simulate import upload_rules
from ondevice.lab.simulate.upload_rules import AwaitedPicture, ClientOutlook, Decision
from ondevice.lab.simulate.upload_table import PictureSettings, UploadFacts, UploadTable
from ondevice.protocol.rung import Rung
from ondevice.timing.arrays import FloatArray

NO_TIMES = np.zeros(0)


def sample(ms_per_byte: float) -> NetworkSample:
    """A request of 10 kB where that takes so long beside 40 ms."""
    return NetworkSample(10_000, 40.0 + 10_000 * ms_per_byte, 10_000 * ms_per_byte, 0.0)


@pytest.fixture
def outlook(tmp_path: Path) -> ClientOutlook:
    models = four(tmp_path)
    table = UploadTable.of(UploadFacts(models.sides), PictureSettings(), [Rung(192, 40)])
    return ClientOutlook(table, models.models, NetworkEstimates(), 200.0, 40.0, 0.44, "effective")


def picture(table: UploadTable, file_bytes: float = 100_000, times: FloatArray = NO_TIMES) -> AwaitedPicture:
    """One of the usual sizes, but for its file."""
    return AwaitedPicture(np.append(table.size_bytes[:-1], file_bytes), lambda: times)


def chosen(text: str, outlook: ClientOutlook, file_bytes: float = 100_000, times: FloatArray = NO_TIMES) -> str | None:
    """What is sent, by its name."""
    decision = upload_rules.find(text, outlook).choose(picture(outlook.table, file_bytes, times))
    return outlook.table.names[decision.upload] if decision else None


@pytest.mark.parametrize("text", ["scaled", "pieslicer"])
def test_the_file_goes_where_the_link_is_fast(outlook: ClientOutlook, text: str) -> None:
    for ms_per_byte, sent in ((8 / 100e3, "file"), (8 / 1e3, "scaled")):
        outlook.network.forget()
        for _ in range(8):
            outlook.network.add(sample(ms_per_byte))
        assert chosen(text, outlook) == sent
        assert chosen(text, outlook, file_bytes=15_000) == "file"  # smaller than what scaling makes


def test_what_is_chosen_with_the_model_follows_the_link(outlook: ClientOutlook) -> None:
    sent = []
    for ms_per_byte in (8 / 500e3, 8 / 1.5e3, 8 / 300, 8 / 150):
        outlook.network.forget()
        for _ in range(8):
            outlook.network.add(sample(ms_per_byte))
        sent.append(chosen("auto", outlook, file_bytes=60_000))
    sizes = [float(outlook.table.size_bytes[outlook.table.row(name or "")]) for name in sent]
    assert sent[0] == "file"
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 4


def test_photos_that_are_larger_than_usual_are_sent_smaller(outlook: ClientOutlook) -> None:
    for _ in range(8):
        outlook.network.add(sample(8 / 800))
    rule, table = upload_rules.find("auto", outlook), outlook.table
    usual = rule.choose(picture(table))
    assert usual
    assert usual.making_ms == 8
    large = AwaitedPicture(np.append(3 * table.size_bytes[:-1], 1e5), lambda: NO_TIMES)
    instead = rule.choose(large)  # it is made as the usual one, turns out to be large, and is made again
    assert instead
    assert instead.making_ms == 16
    assert table.size_bytes[instead.upload] < table.size_bytes[usual.upload]
    for _ in range(16):
        last = rule.choose(large)
    assert last
    assert last.making_ms == 8  # this camera's are large


def test_a_rung_and_the_file_are_always_the_same(outlook: ClientOutlook) -> None:
    assert chosen("192,40", outlook) == "192,40"
    assert chosen("file", outlook) == "file"


def test_jellyfish_takes_the_model_whose_picture_and_runs_fit(outlook: ClientOutlook) -> None:
    rule, asked = upload_rules.find("jellyfish", outlook), picture(outlook.table)
    best = rule.choose(asked)
    assert best
    assert best.model == 3
    assert outlook.table.rungs[best.upload] == Rung(224, 90)
    for at_ms in range(0, 5000, 500):  # 20 bytes a ms, of which none of their pictures has few enough
        rule.learn(float(at_ms), 2_000, 118.0)
    assert rule.choose(asked) == Decision(outlook.table.row("128,90"), 8.0, 0)
    for at_ms in range(5000, 9000, 500):  # 90: 11.8 kB leave 20 ms, and twice 13 are wanted
        rule.learn(float(at_ms), 9_000, 118.0)
    assert rule.choose(asked) == Decision(outlook.table.row("160,90"), 8.0, 1)


def test_hindsight_sends_the_best_that_will_be_on_time_and_no_more(outlook: ClientOutlook) -> None:
    table, top1 = outlook.table, outlook.models.top1
    times = np.full((len(table), 4), 500.0)
    assert chosen("hindsight", outlook, times=times) is None
    times[:2] = 100.0
    rule = upload_rules.find("hindsight", outlook)
    pair = rule.choose(picture(table, times=times))
    assert pair
    assert (pair.upload, pair.model) == divmod(int((table.kept[:2] * top1).argmax()), len(top1))
    times[:] = 199.9
    times[3, :] = 200.1
    everything = rule.choose(picture(table, times=times))
    assert everything
    worth = table.kept * top1
    assert worth[everything.upload, everything.model] == worth.max()
    assert everything.upload == int((worth.max(axis=1) == worth.max()).argmax())  # the smallest of equals


def test_hindsight_sends_nothing_that_is_worse_than_the_device(outlook: ClientOutlook) -> None:
    times = np.full((len(outlook.table), 4), 500.0)
    times[:, 0] = 100.0  # the device's own model
    assert chosen("hindsight", outlook, times=times) is None
    assert chosen("hindsight", outlook._replace(device_top1=0.0), times=times) is not None


def test_texts() -> None:
    assert [upload_rules.check(text) for text in ("auto", "scaled", "file", "pieslicer")] == [None] * 4
    assert upload_rules.check("192,40,webp") == Rung.parse("192,40,webp")
    with pytest.raises(UsageError, match=r"no upload 'pieslice'; did you mean pieslicer"):
        upload_rules.check("pieslice")
    with pytest.raises(UsageError, match="'192' is not an upload: give SIDE,QUALITY"):
        upload_rules.check("192")
