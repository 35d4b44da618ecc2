"""Many cases: all combinations, in one process or several, as rows; and deadlines from text."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from simulating import small

from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.simulate import arrivals, device_model, legs
from ondevice.lab.simulate.grid import MEASURES, SHARE_PREFIX, Grid, deadlines, run
from ondevice.lab.simulate.simulation import QueueView, SimulationSettings
from ondevice.process import child
from ondevice.process.child import Child

SETTINGS = SimulationSettings(300, device=device_model.given(0.41, 20))


def grid(folder: Path, loads: tuple[str, ...] = ("alone",)) -> Grid:
    networks = [legs.find(text) for text in ("normal:mean=30,std=9", "trace:wifi,rtt=20")]
    return Grid(
        [small(folder)],
        networks,
        [arrivals.find(load) for load in loads],
        [100, 150],
        ["greedy", "cnnselect", "oracle"],
        [QueueView.BLIND, QueueView.KNOWN],
        2,
    )


def test_all_combinations_but_queues_where_there_is_one(tmp_path: Path) -> None:
    cases = grid(tmp_path, ("alone", "poisson:rate=20")).cases()
    assert len(cases) == 2 * (1 + 2) * 2 * 3
    keys = {(c.network.text, c.arrivals.text, c.queue, c.policy, c.sla_ms) for c in cases}
    assert len(keys) == len(cases)
    assert not any(c.queue is QueueView.KNOWN for c in cases if not c.arrivals.queued)


def test_processes_give_the_same_as_one(tmp_path: Path) -> None:
    cases = grid(tmp_path, ("poisson:rate=20",)).cases()
    one = [done.row(SETTINGS) for done in run(cases, SETTINGS)]
    several = sorted(run(cases, SETTINGS, 2), key=lambda done: done.number)
    assert [done.row(SETTINGS) for done in several] == one


def test_a_row_is_flat_and_whole(tmp_path: Path) -> None:
    rows = [done.row(SETTINGS) for done in run(grid(tmp_path).cases(), SETTINGS)]
    assert all(isinstance(value, str | int | float | bool | None) for row in rows for value in row.values())
    assert len({tuple(row) for row in rows}) == 1
    for row in rows:
        assert (row["models"], row["load"], row["queue"], row["workers"]) == ("small", "alone", None, None)
        assert (row["device"], row["duplication"], row["requests"], row["seed"]) == ("device", True, 300, 0)
        for name in MEASURES:
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
        assert row["p50_ms"] <= row["p90_ms"] <= row["p95_ms"] <= row["p99_ms"] <= row["sla_ms"] * 1.003
        shares = {key: value for key, value in row.items() if key.startswith(SHARE_PREFIX)}
        assert list(shares) == ["share_fast", "share_middle", "share_slow", "share_device"]
        assert sum(shares.values()) == pytest.approx(1)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[Child]:
    """All that are started."""
    found: list[Child] = []
    start = child.start

    def noted(*arguments: str, **options: Any) -> Child:
        found.append(start(*arguments, **options))
        return found[-1]

    monkeypatch.setattr(child, "start", noted)
    return found


def test_what_is_left_early_ends(tmp_path: Path, processes: list[Child]) -> None:
    running = run(grid(tmp_path).cases(), SETTINGS, 2)
    assert next(running).outcomes.requests == 300
    assert [process.ends(0) for process in processes] == [False, False]
    running.close()
    assert [process.ends(0) for process in processes] == [True, True]


def test_a_process_that_dies_is_told_of(tmp_path: Path, processes: list[Child]) -> None:
    running = run(grid(tmp_path).cases(), SimulationSettings(200_000), 2)
    next(running)
    processes[0].kill()
    with pytest.raises(OnDeviceError, match=r"a process of --jobs ended before its time \(SIGKILL\)"):
        list(running)
    assert [process.ends(0) for process in processes] == [True, True]


@pytest.mark.parametrize(
    ("texts", "expected"),
    [
        (["150"], [150]),
        (["200, 150", "150"], [150, 200]),
        (["100-130:10"], [100, 110, 120, 130]),
        (["100-135:10,0.5"], [0.5, 100, 110, 120, 130]),
        (["1-1.3:0.1"], [1, 1.1, 1.2, 1.3]),
    ],
)
def test_deadlines(texts: list[str], expected: list[float]) -> None:
    assert deadlines(texts) == pytest.approx(expected)


@pytest.mark.parametrize(
    "text", ["", " , ", "0", "-5", "x", "nan", "inf", "100-", "100-50:10", "100-200", "100-200:0", "100:5"]
)
def test_what_is_no_deadline(text: str) -> None:
    with pytest.raises(UsageError, match="--sla"):
        deadlines([text])


def test_too_many_deadlines_are_refused() -> None:
    with pytest.raises(UsageError, match="take a larger step"):
        deadlines(["1-1e8:0.001"])
