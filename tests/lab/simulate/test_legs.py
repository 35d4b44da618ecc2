"""Networks for simulation: text, traces against their own functions, drift, outages, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.link import networks
from ondevice.lab.simulate.legs import DEFAULT_SIZES, Legs, NetworkModel, Sizes, find
from ondevice.timing.arrays import FloatArray

KINDS = [
    "normal:mean=50,std=25",
    "lognormal:mean=46,std=24,correlation=0.8",
    "floor:min=20,tail=15",
    "trace:lte,rtt=40",
]
AT_MS = np.sort(np.random.default_rng(1).uniform(0, 300_000, 500))


def sampled(network: NetworkModel, at_ms: FloatArray = AT_MS, sizes: Sizes = DEFAULT_SIZES, first: int = 0) -> Legs:
    return network.sample(at_ms, np.random.default_rng(0), sizes, first)


@pytest.mark.parametrize("text", KINDS)
def test_legs_are_made_from_the_seed_and_above_0(text: str) -> None:
    legs, again = sampled(find(text)), sampled(find(text))
    assert legs.upload_ms.shape == legs.reply_ms.shape == (500,)
    assert (legs.upload_ms == again.upload_ms).all()
    assert (legs.reply_ms == again.reply_ms).all()
    assert min(legs.upload_ms.min(), legs.reply_ms.min()) > 0
    assert find(text).text == text


@pytest.mark.parametrize("text", KINDS)
def test_what_is_told_of_a_network_has_its_shape(text: str) -> None:
    network = find(text)
    legs = sampled(network)
    points = network.reply_points(legs, DEFAULT_SIZES)
    assert points.shape[0] in (1, 500)
    assert (np.diff(points, axis=1) >= 0).all()
    link_ms = network.link_ms(500, DEFAULT_SIZES)
    assert link_ms.shape in ((1, 1), (500, 1))
    assert (legs.upload_ms + legs.reply_ms).mean() == pytest.approx(link_ms.mean(), rel=0.15)


@pytest.mark.parametrize("later", [np.full(500, 30.0), np.tile([0.0, 30.0, 900.0], (500, 1))])
@pytest.mark.parametrize("text", ["trace:lte,rtt=40", "trace:cellular,rtt=10"])
def test_a_trace_carries_each_byte(text: str, later: FloatArray) -> None:
    """Against lab/trace's own functions, one request after the other."""
    up, down = networks.find(text[6:].split(",")[0])
    half_ms = float(text.rpartition("=")[2]) / 2
    legs = sampled(find(text), sizes=Sizes(60_000, 3_000))
    replies_ms = legs.reply_after(later)
    assert replies_ms.shape == later.shape
    for i in range(0, 500, 25):
        through_ms = float(up.passed_ms(AT_MS[i], 60_000)) + half_ms
        assert legs.upload_ms[i] == pytest.approx(through_ms - AT_MS[i])
        leaves_ms = through_ms + later[i]
        assert replies_ms[i] == pytest.approx(down.passed_ms(leaves_ms, 3_000) + half_ms - leaves_ms)


@pytest.mark.parametrize("text", [*KINDS, "trace:lte,outage=1:2:7"])
def test_a_part_of_the_replies_is_as_in_the_whole(text: str) -> None:
    legs, later = sampled(find(text)), np.tile([5.0, 50.0], (500, 1))
    whole = np.broadcast_to(legs.reply_after(later), (500, 2))
    one = slice(7, 8)
    assert np.broadcast_to(legs.reply_after(later[one], one), (1, 2)) == pytest.approx(whole[one])


def test_a_recorded_trace(data: Path) -> None:
    network = find(f"trace:{data / 'traces' / 'Verizon-LTE-short'},rtt=40")
    legs = sampled(network)
    assert legs.reply_ms.min() >= 20
    assert 100 < legs.upload_ms.mean() < 1000


def test_larger_pictures_take_longer() -> None:
    small, large = (sampled(find("trace:lte"), sizes=Sizes(size, 1000)).upload_ms for size in (10_000, 100_000))
    assert (large >= small).all()
    assert large.mean() > 2 * small.mean()


def test_drift_changes_the_mean_and_what_is_told() -> None:
    plain, drifting = (
        find("lognormal:mean=46,std=24,correlation=0.8"),
        find("lognormal:mean=46,std=24,correlation=0.8,drift=3@100"),
    )
    factors = np.where(np.arange(500) < 100, 1.0, 3.0)
    before, after = sampled(plain), sampled(drifting)
    assert after.upload_ms == pytest.approx(before.upload_ms * factors)
    assert after.reply_ms == pytest.approx(before.reply_ms * factors)
    points = np.broadcast_to(plain.reply_points(before, DEFAULT_SIZES), (500, 21))
    assert drifting.reply_points(after, DEFAULT_SIZES) == pytest.approx(points * factors[:, None])
    assert drifting.link_ms(500, DEFAULT_SIZES)[:, 0] == pytest.approx(92 * factors)
    assert sampled(drifting, first=100).upload_ms == pytest.approx(before.upload_ms * 3)


@pytest.mark.parametrize("text", ["normal:mean=50,std=0,outage=1:2", "trace:wifi,outage=1:2"])
def test_nothing_passes_in_an_outage(text: str) -> None:
    legs = sampled(find(text), np.array([100.0, 990.0, 1500.0, 3200.0]))
    free = sampled(find(text.replace(",outage=1:2", "")), np.array([100.0, 990.0, 1500.0, 3200.0]))
    assert legs.upload_ms[[0, 3]] == pytest.approx(free.upload_ms[[0, 3]])
    assert legs.upload_ms[1] == pytest.approx(free.upload_ms[1] + 2000)
    assert legs.upload_ms[2] == pytest.approx(free.upload_ms[2] + 1500)
    # A reply that would leave in the outage, of a request that was through before it.
    assert legs.through_ms[0] < 1000
    assert legs.through_ms[0] + 1000 + legs.reply_after(np.full(4, 1000.0))[0] >= 3000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("norml:mean=3,std=1", "no network 'norml'; did you mean normal"),
        ("", "no network ''; there are normal, lognormal, floor, trace"),
        ("normal:mean=50,std=-1", "std is a number from 0 to .*, not '-1'"),
        ("lognormal:mean=50,std=-25", "std is a number from 0"),
        ("lognormal:mean=50,std=1,correlation=2", "correlation is a number from -1 to 1, not '2'"),
        ("normal:mean=0,std=1", "mean is a number above 0"),
        ("normal:mean=50", "std is missing; add std=NUMBER"),
        ("normal", "mean is missing"),
        ("normal:men=50,std=3", "no setting of normal 'men'; did you mean mean"),
        ("floor:min=1,tail=2,shape=1", "shape is a number above 1"),
        ("normal:mean=1,std=1,drift=2", "drift"),
        ("normal:mean=1,std=1,outage=2", "outage"),
        ("trace:", "write trace:NAME_OR_FILE"),
        ("trace:ltee", "no trace 'ltee'.*did you mean lte"),
        ("trace:lte,rtt=-1", "rtt is a number from 0"),
        ("trace:lte,speed=3", "no setting of trace 'speed'"),
        ("trace:lte,drift=2@3", "a trace changes by itself"),
    ],
)
def test_what_names_no_network_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        find(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("content", "said"), [("", "is empty"), ("1\n5\nx\n", "line 3"), ("5\n3\n", "line 2")])
def test_a_trace_that_is_none_says_its_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "bad.trace").write_text(content)
    with pytest.raises(OnDeviceError, match=said):
        find(f"trace:{tmp_path / 'bad.trace'},rtt=3")
