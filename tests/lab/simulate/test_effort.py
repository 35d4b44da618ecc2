"""What a simulation will take is told before: nothing of a usual one, and what it takes of a large one."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from simulating import four, small

from ondevice.errors import UsageError
from ondevice.lab.simulate import arrivals, effort, grid, legs
from ondevice.lab.simulate.effort import Effort
from ondevice.lab.simulate.modelset import ModelSet
from ondevice.lab.simulate.queueing import simulate
from ondevice.lab.simulate.simulation import Case, SimulationSettings
from ondevice.lab.simulate.upload_table import PictureSettings
from ondevice.selection.problem import Models
from ondevice.timing.distribution import Distribution
from ondevice.timing.profile import Profile

NETWORK = legs.find("normal:mean=50,std=25", 0)
POLICIES = ("greedy", "mdinference", "effective", "oracle")


def many(count: int) -> ModelSet:
    """So many models, each a little slower and better than the last."""
    figures = Distribution.normal(10.0, 1.0).figures
    names = [f"model_{number}" for number in range(count)]
    top1 = dict(zip(names, np.linspace(0.1, 0.9, count).tolist(), strict=True))
    return ModelSet("many", Models.of(top1, [Profile(name, *figures, 0, "", "", 0) for name in names]), top1)


def cases(models: ModelSet, load: str = "alone", policies: tuple[str, ...] = POLICIES) -> list[Case]:
    return grid.Grid([models], [NETWORK], [arrivals.find(load)], [100.0, 200.0], policies).cases()


def test_nothing_is_tried_of_a_usual_simulation(tmp_path: Path) -> None:
    assert effort.foresee(cases(small(tmp_path)), SimulationSettings(1_000_000)) is None


@pytest.mark.parametrize("load", ["alone", "poisson:rate=5"])
def test_a_billion_requests_are_told(load: str, tmp_path: Path) -> None:
    pytest.importorskip("simpy")
    found = effort.foresee(cases(small(tmp_path), load), SimulationSettings(10**9))
    assert found
    assert found.is_worth_telling
    # A processor draws no billion normal numbers in a second.
    assert found.seconds > len(POLICIES)
    # Alone they come and go; in a queue the times of all are in memory, 8 bytes each.
    assert (found.memory_bytes > 8e9) is (load != "alone")


def test_a_hundred_thousand_models_are_refused_for_their_memory() -> None:
    large = effort.foresee(cases(many(20_000)), SimulationSettings(10**9), jobs=3)
    assert large
    # Each of three processes has an array of 8192 requests times 20,000 models, 8 bytes each, at the least.
    assert large.memory_bytes > 3 * 8192 * 20_000 * 8
    with pytest.raises(UsageError, match=r"GB of memory, and there are 1\.0 GB: leave models out"):
        effort.check(large, 10**9)
    effort.check(large, 10**15)


def test_what_is_foreseen_of_memory_is_about_what_it_takes() -> None:
    all_of_them = cases(many(1500), policies=("mdinference",))
    settings = SimulationSettings(8192)
    found = effort.foresee(all_of_them, settings)
    assert found
    tracemalloc.start()
    simulate(all_of_them[0], settings)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0.5 * peak < found.memory_bytes < 3 * peak


def test_uploads_are_foreseen_too(tmp_path: Path) -> None:
    models = four(tmp_path)
    plan = grid.UploadPlan.of(["scaled"], [models], PictureSettings())
    network = legs.find("trace:cellular,rtt=40", 0)
    found = effort.foresee(
        grid.Grid([models], [network], [arrivals.ALONE], [200.0], ("effective",), uploads=plan).cases(),
        SimulationSettings(10**8),
    )
    assert found
    assert found.is_worth_telling


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(70, "70 s"), (600, "10 min"), (7200, "2 h"), (86400 * 30, "30 days"), (86400 * 365 * 1000, "1,000 years")],
)
def test_times_are_told_in_units_that_people_grasp(seconds: float, said: str) -> None:
    assert str(Effort(seconds, 2.34e9)) == f"about {said} and 2.3 GB of memory"
