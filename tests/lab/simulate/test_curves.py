"""Figures: what is drawn, the caption, the same file for the same rows, and what cannot be drawn."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from simulating import small

from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.simulate import arrivals, device_model, legs
from ondevice.lab.simulate.curves import PLOTS, SimulationFigure, points
from ondevice.lab.simulate.grid import Grid, Row, run
from ondevice.lab.simulate.simulation import SimulationSettings

NETWORK = "normal:mean=30,std=9"
COMMAND = "ondevice simulate --models 'a zoo.csv' --network normal:mean=30,std=9 --sla 100-150:25 --seed 3"
POINTS = "policy,sla_ms,value\ngreedy,100,0.4\ngreedy,125,0.5\nmodipick,125,0.6\n"


def rows(folder: Path, slas_ms: Sequence[float] = (100, 125, 150), networks: Sequence[str] = (NETWORK,)) -> list[Row]:
    settings = SimulationSettings(200, device=device_model.given(0.41, 20))
    grid = Grid(
        [small(folder)],
        [legs.find(text) for text in networks],
        [arrivals.ALONE],
        slas_ms,
        ["greedy", "mdinference", "oracle", "device"],
    )
    return [done.row(settings) for done in run(grid.cases(), settings)]


def text_of(svg: Path) -> str:
    """All that is written in it: matplotlib keeps texts in comments beside their outlines."""
    return "\n".join(re.findall(r"<!-- (.*?) -->", svg.read_text(), re.DOTALL)).replace("- -", "--")


@pytest.mark.parametrize("plot", PLOTS)
def test_each_plot_is_drawn_with_its_command(tmp_path: Path, plot: str) -> None:
    path = tmp_path / f"{plot}.svg"
    SimulationFigure(path, plot, COMMAND).draw(rows(tmp_path))
    written = text_of(path)
    assert "ondevice simulate" in written
    assert "".join(COMMAND.split()) in "".join(written.split())
    for name in ("fast", "slow", "device") if plot == "usage" else ("greedy", "oracle", "device"):
        assert name in written
    assert "small, normal:mean=30,std=9" in written


def test_the_same_rows_make_the_same_file(tmp_path: Path) -> None:
    for name in ("a.svg", "b.svg"):
        SimulationFigure(tmp_path / name, "effective", COMMAND).draw(rows(tmp_path))
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize("suffix", ["png", "PDF"])
def test_other_formats(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"figure.{suffix}"
    SimulationFigure(path, "attainment", COMMAND).draw(rows(tmp_path))
    assert path.read_bytes()[:4] in (b"\x89PNG", b"%PDF")


@pytest.mark.parametrize("plot", ["latency", "usage", "trade"])
def test_one_deadline_and_several_networks(tmp_path: Path, plot: str) -> None:
    networks = (NETWORK, "trace:wifi,rtt=20")
    SimulationFigure(tmp_path / "f.svg", plot, COMMAND).draw(rows(tmp_path, (150,), networks))
    written = text_of(tmp_path / "f.svg")
    assert "deadline, ms" not in written
    assert plot == "trade" or "trace:wifi,rtt=20" in written


@pytest.mark.parametrize("plot", ["effective", "usage"])
def test_one_point_alone(tmp_path: Path, plot: str) -> None:
    SimulationFigure(tmp_path / "f.svg", plot, COMMAND).draw(rows(tmp_path, (150,)))
    assert (tmp_path / "f.svg").stat().st_size > 5000


def test_several_networks_are_panels(tmp_path: Path) -> None:
    SimulationFigure(tmp_path / "f.svg", "top1", COMMAND).draw(
        rows(tmp_path, networks=("normal:mean=30,std=9", "normal:mean=60,std=9"))
    )
    written = text_of(tmp_path / "f.svg")
    assert "small, normal:mean=30,std=9" in written
    assert "small, normal:mean=60,std=9" in written


def test_published_points_stand_beside_the_curves(tmp_path: Path) -> None:
    (tmp_path / "points.csv").write_text(POINTS)
    assert points(tmp_path / "points.csv") == {"greedy": [(100, 0.4), (125, 0.5)], "modipick": [(125, 0.6)]}
    SimulationFigure(tmp_path / "f.svg", "top1", COMMAND, tmp_path / "points.csv").draw(rows(tmp_path))
    written = text_of(tmp_path / "f.svg")
    assert "greedy, published" in written
    assert "modipick, published" in written


@pytest.mark.parametrize(
    ("content", "said"),
    [("a,b\n1,2\n", "line 1"), (POINTS + "greedy,x,3\n", "line 5"), (POINTS + "greedy\n", "line 5")],
)
def test_points_that_are_none_say_their_line(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "points.csv").write_text(content)
    with pytest.raises(OnDeviceError, match=said):
        SimulationFigure(tmp_path / "f.svg", "top1", COMMAND, tmp_path / "points.csv")


def test_what_cannot_be_drawn_is_said_before(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no plot 'atainment'; did you mean attainment"):
        SimulationFigure(tmp_path / "f.svg", "atainment", COMMAND)
    with pytest.raises(UsageError, match=r"makes \.svg, \.png, \.pdf, not 'f.gif'"):
        SimulationFigure(tmp_path / "f.gif", "top1", COMMAND)
    with pytest.raises(UsageError, match="points have no place"):
        SimulationFigure(tmp_path / "f.svg", "usage", COMMAND, tmp_path / "points.csv")
    with pytest.raises(UsageError, match="no such file"):
        SimulationFigure(tmp_path / "f.svg", "top1", COMMAND, tmp_path / "nowhere.csv")
    with pytest.raises(UsageError, match="does not exist"):
        SimulationFigure(tmp_path / "nowhere" / "f.svg", "top1", COMMAND)
