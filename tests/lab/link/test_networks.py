"""Synthetic networks, and how a trace is found by its name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.link.networks import NETWORKS, PERIOD_MS, find, synthetic


@pytest.mark.parametrize("name", NETWORKS)
def test_a_seed_makes_one_network(name: str) -> None:
    first, again, other = (synthetic(name, seed) for seed in (1, 1, 2))
    for way in (0, 1):
        assert np.array_equal(first[way].stamps_ms, again[way].stamps_ms)
        assert not np.array_equal(first[way].stamps_ms, other[way].stamps_ms)


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_is_as_fast_as_its_states(name: str) -> None:
    ups, downs = zip(*(synthetic(name, seed) for seed in range(4)), strict=True)
    for traces, rates in ((ups, [s.up_mbps for s in NETWORKS[name]]), (downs, [s.down_mbps for s in NETWORKS[name]])):
        mean_mbps = float(np.mean([trace.mean_bps for trace in traces])) / 1e6
        assert min(rates) < mean_mbps < max(rates)
        assert all(trace.period_ms == PERIOD_MS for trace in traces)


def test_networks_of_the_same_seed_differ() -> None:
    means = {name: synthetic(name, 0)[1].mean_bps for name in NETWORKS}
    assert means["umts"] < means["cellular"] < means["lte"] < means["wifi"]


def test_both_ways_are_out_at_the_same_time() -> None:
    up, down = synthetic("cellular", 0)
    edges = np.arange(0, PERIOD_MS, 500.0)
    silent = down.deliverable(edges, edges + 500) == 0
    assert 0 < silent.sum() < len(edges) / 4
    assert up.deliverable(edges, edges + 500)[silent].max() == 0


def test_a_name_is_a_network() -> None:
    assert np.array_equal(find("lte", 7)[0].stamps_ms, synthetic("lte", 7)[0].stamps_ms)


def test_a_file_is_both_ways(tmp_path: Path) -> None:
    (tmp_path / "one").write_text("5\n")
    up, down = find(str(tmp_path / "one"))
    assert up is down
    assert up.period_ms == 5


def test_a_pair_of_files_is_a_way_each(tmp_path: Path) -> None:
    (tmp_path / "two.up").write_text("5\n")
    (tmp_path / "two.down").write_text("7\n")
    up, down = find(str(tmp_path / "two"))
    assert (up.period_ms, down.period_ms) == (5, 7)


def test_a_wrong_line_is_told_with_its_file(tmp_path: Path) -> None:
    (tmp_path / "two.up").write_text("5\n")
    (tmp_path / "two.down").write_text("7\nseven\n")
    with pytest.raises(OnDeviceError, match=r"two\.down, line 2: 'seven'"):
        find(str(tmp_path / "two"))


@pytest.mark.parametrize(
    ("name", "hint"),
    [("celular", r"did you mean cellular\?"), ("/no/such", "there are cellular, wifi, lte, umts"), ("x" * 5000, "no")],
)
def test_what_is_neither_is_told(name: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        find(name)
