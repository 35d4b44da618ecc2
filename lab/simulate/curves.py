"""Figures of simulations: a measure against the deadline, a curve for each policy (extra `lab`).

Where there is one deadline alone, the networks stand side by side instead. The caption is the command that makes the
figure anew.
"""

from __future__ import annotations

import csv
import math
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from ondevice import reading, words
from ondevice.errors import OnDeviceError, UsageError, naming
from ondevice.lab.simulate.grid import SHARE_PREFIX
from ondevice.lab.simulate.simulation import DEVICE, ORACLE
from ondevice.lab.simulate.upload_rules import HINDSIGHT
from ondevice.models import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Row = Mapping[str, Any]
_SUFFIXES = (".svg", ".png", ".pdf")
# Three panels of this size side by side are as wide as a screen, and their texts can be read in a page's column.
_PANEL_INCHES, _MOST_COLUMNS = (4.8, 3.4), 3
_MARKS = "os^Dv<>PX*hp"
# What a row has beside deadline, policy and measures: what differs makes panels.
_PLACES = ("models", "network", "load", "queue")


class _Measure(NamedTuple):
    """What is drawn: the rows' column, its name on the axis, and whether it is a share."""

    column: str
    label: str
    is_share: bool = True


_MEASURES = {
    "effective": _Measure("effective_top1", "effective accuracy"),
    "top1": _Measure("top1", "accuracy of the models chosen"),
    "attainment": _Measure("attainment", "attainment: answered on time"),
    "latency": _Measure("mean_ms", "mean ms to the answer, and 95th percentile (thin)", is_share=False),
    "reliance": _Measure("device_share", "share answered by the device"),
}
PLOTS = (*_MEASURES, "usage", "trade")


@dataclass(frozen=True)
class SimulationFigure:
    """A figure to be drawn. plot: of PLOTS. command: its caption. published: a file of points to draw beside.

    Raises UsageError for what cannot be drawn, OnDeviceError with the line for a file that does not hold points.
    """

    path: Path
    plot: str
    command: str
    published: Path | None = None

    def __post_init__(self) -> None:
        words.known(self.plot, PLOTS, "plot")
        if self.path.suffix.lower() not in _SUFFIXES:
            raise UsageError(f"--figure makes {', '.join(_SUFFIXES)}, not '{self.path.name}'")
        with naming("--figure"):
            files.check(self.path)
        if self.published is not None:
            if self.plot not in _MEASURES:
                raise UsageError(f"--published: its points have no place in a figure of {self.plot}; take another plot")
            points(self.published)

    def draw(self, rows: Sequence[Row]) -> None:
        """Draw rows as `grid.CaseResult.row` makes them, at least one. Raises OnDeviceError where it cannot write."""
        import matplotlib as mpl
        from matplotlib.figure import Figure

        # The same rows make the same file.
        style: Any = {"svg.hashsalt": "ondevice", "axes.grid": True, "grid.alpha": 0.3, "legend.frameon": False}
        metadata = {"Date": None} if self.path.suffix.lower() == ".svg" else None
        with mpl.rc_context(style):
            figure = Figure(layout="constrained")
            self._panels(figure, rows)
            try:
                with files.replacing(self.path) as out:
                    figure.savefig(out, format=self.path.suffix[1:].lower(), dpi=130, metadata=metadata)
            except OSError as error:
                raise files.explain(error, self.path) from error

    def _panels(self, figure: Figure, rows: Sequence[Row]) -> None:
        panels = _usage_panels(rows) if self.plot == "usage" else _panels(rows)
        columns = min(len(panels), _MOST_COLUMNS)
        lines = math.ceil(len(panels) / columns)
        width = max(columns, 1.6) * _PANEL_INCHES[0]
        caption = textwrap.wrap(self.command, int(width * 17), break_on_hyphens=False, subsequent_indent="  ")
        figure.set_size_inches(width, lines * _PANEL_INCHES[1] + 0.14 * len(caption) + 0.8)
        for i, (title, members) in enumerate(panels.items()):
            axes = figure.add_subplot(lines, columns, i + 1)
            axes.set_title(title, fontsize=8)
            self._draw(axes, members, rows)
        entries = _legend(figure.axes)
        figure.legend(entries.values(), entries.keys(), loc="outside upper center", ncols=4, fontsize=8)
        figure.supxlabel("\n".join(caption), fontsize=6.5, family="monospace", ha="left", x=0.01)

    def _draw(self, axes: Axes, rows: Sequence[Row], all_rows: Sequence[Row]) -> None:
        if self.plot == "usage":
            _draw_usage(axes, rows, _colours(all_rows))
        elif self.plot == "trade":
            _draw_trade(axes, rows)
        else:
            _draw_curves(axes, rows, _MEASURES[self.plot], points(self.published) if self.published else {})


def points(path: Path) -> dict[str, list[tuple[float, float]]]:
    """Published points (deadline, value) by policy, from a CSV of policy, sla_ms, value. Raises OnDeviceError."""
    found: dict[str, list[tuple[float, float]]] = {}
    try:
        reader = csv.DictReader(reading.text(path, "utf-8-sig").splitlines())
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--published {path}: {words.reason(error)}") from error
    if not {"policy", "sla_ms", "value"} <= set(reader.fieldnames or ()):
        raise OnDeviceError(f"{path}, line 1: the heading has no policy, sla_ms and value")
    for row in reader:
        try:
            found.setdefault(row["policy"], []).append((float(row["sla_ms"]), float(row["value"])))
        except (TypeError, ValueError) as error:
            raise OnDeviceError(f"{path}, line {reader.line_num}: sla_ms and value are numbers") from error
    return found


def _panels(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of each panel, by its title: the place, but for the network where that is the axis."""
    by_network = _by_network(rows)
    varied = [key for key in _PLACES if not (by_network and key == "network")]
    panels: dict[str, list[Row]] = {}
    for row in rows:
        title = ", ".join(_short(str(row[key])) for key in varied if row[key] is not None and row[key] != "alone")
        panels.setdefault(title, []).append(row)
    return panels


def _usage_panels(rows: Sequence[Row]) -> dict[str, list[Row]]:
    """The rows of a panel for each policy in each place, by its title."""
    panels: dict[str, list[Row]] = {}
    for title, members in _panels(rows).items():
        for row in members:
            panels.setdefault(f"{_name(row)}\n{title}", []).append(row)
    return panels


def _by_network(rows: Sequence[Row]) -> bool:
    """Whether the networks are the axis: there is one deadline alone, and more than one network."""
    return len({row["sla_ms"] for row in rows}) == 1 and len({row["network"] for row in rows}) > 1


def _axis(axes: Axes, rows: Sequence[Row]) -> Callable[[Row], float]:
    """Label the horizontal axis; gives where a row stands on it."""
    if not _by_network(rows):
        axes.set_xlabel("deadline, ms")
        return lambda row: float(row["sla_ms"])
    networks = list(dict.fromkeys(row["network"] for row in rows))
    axes.set_xticks(range(len(networks)), map(_short, networks), rotation=20, ha="right", fontsize=7)
    return lambda row: float(networks.index(row["network"]))


def _short(place: str) -> str:
    """The name of a network or a load, of a file its name alone."""
    return re.sub(r"^(trace|file):.*/", r"\1:", place)


def _by_policy(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(_name(row), []).append(row)
    return found


def _name(row: Row) -> str:
    """What a curve is called: the policy, and what is sent where that is chosen beside it."""
    return f"{row['policy']}, {row['upload']}" if row.get("upload") else str(row["policy"])


def _look(policy: str, number: int) -> dict[str, Any]:
    """Colour and line of the policy that is drawn as the `number`th; the bounds look like bounds."""
    if policy in (ORACLE, HINDSIGHT):
        return {"color": "0.1", "linestyle": "--"}
    if policy == DEVICE:
        return {"color": "0.5", "linestyle": ":"}
    return {"color": f"C{number % 10}", "linestyle": "-" if number < 10 else "-."}


def _legend(panels: Sequence[Axes]) -> dict[str, Any]:
    """What is drawn in any of the panels, by its label."""
    found: dict[str, Any] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            found.setdefault(label, handle)
    return found


def _draw_curves(
    axes: Axes, rows: Sequence[Row], measure: _Measure, published: Mapping[str, Sequence[tuple[float, float]]]
) -> None:
    where = _axis(axes, rows)
    for i, (policy, members) in enumerate(_by_policy(rows).items()):
        x, look = [where(row) for row in members], _look(policy, i)
        axes.plot(x, _column(members, measure.column), label=policy, marker="." if len(x) < 30 else "", **look)
        if measure.is_share:
            low, high = (_column(members, f"{measure.column}_{end}") for end in ("low", "high"))
            axes.fill_between(x, low, high, color=look["color"], alpha=0.15, linewidth=0)
        else:
            axes.plot(x, _column(members, "p95_ms"), **{**look, "linewidth": 0.6})
        if policy in published:
            axes.plot(*zip(*published[policy], strict=True), "x", color=look["color"], label=f"{policy}, published")
    _draw_others(axes, published, set(_by_policy(rows)))
    axes.set_ylabel(measure.label, fontsize=9)
    if measure.is_share:
        axes.set_ylim(0, 1.02)
    elif not _by_network(rows):
        deadlines = sorted({float(row["sla_ms"]) for row in rows})
        axes.plot(deadlines, deadlines, color="0.6", linestyle=":", label="deadline")


def _draw_others(axes: Axes, published: Mapping[str, Sequence[tuple[float, float]]], drawn: set[str]) -> None:
    """Draw the published points of policies that were not simulated."""
    for policy, its_points in published.items():
        if policy not in drawn:
            axes.plot(*zip(*its_points, strict=True), "x", color="0.4", label=f"{policy}, published")


def _draw_usage(axes: Axes, rows: Sequence[Row], colours: Mapping[str, Any]) -> None:
    """Draw the shares of the models, stacked, the least accurate at the bottom."""
    where = _axis(axes, rows)
    x = [where(row) for row in rows]
    names = [key for key in rows[0] if key in colours]
    if len(x) > 1 and not _by_network(rows):
        shares = [_column(rows, name) for name in names]
        labels = [name.removeprefix(SHARE_PREFIX) for name in names]
        axes.stackplot(x, shares, labels=labels, colors=[colours[name] for name in names], linewidth=0)
        axes.set_xlim(min(x), max(x))
    else:
        _draw_bars(axes, x, rows, {name: colours[name] for name in names})
    axes.set_ylabel("share of requests", fontsize=9)
    axes.set_ylim(0, 1)


def _draw_bars(axes: Axes, x: Sequence[float], rows: Sequence[Row], colours: Mapping[str, Any]) -> None:
    width = 0.6 if len(x) > 1 else 0.05 * max(x[0], 1.0)
    below = [0.0] * len(x)
    for name, colour in colours.items():
        shares = _column(rows, name)
        axes.bar(x, shares, width, below, label=name.removeprefix(SHARE_PREFIX), color=colour)
        below = [b + s for b, s in zip(below, shares, strict=True)]


def _colours(rows: Sequence[Row]) -> dict[str, Any]:
    """A colour for each model that is ever chosen, from dark to light in the rows' order; the device is grey."""
    from matplotlib import colormaps

    known = dict.fromkeys(key for row in rows for key in row if key.startswith(SHARE_PREFIX))
    names = [name for name in known if any(row.get(name) for row in rows)]
    steps = max(len(names) - 1, 1)
    return {
        name: "0.75" if name == SHARE_PREFIX + DEVICE else colormaps["turbo"](0.05 + 0.9 * i / steps)
        for i, name in enumerate(names)
    }


def _draw_trade(axes: Axes, rows: Sequence[Row]) -> None:
    """Draw accuracy against attainment; a policy's points are its deadlines."""
    for i, (policy, members) in enumerate(_by_policy(rows).items()):
        axes.plot(
            _column(members, "attainment"), _column(members, "top1"), marker=_MARKS[i % len(_MARKS)], markersize=5,
            label=policy, **{**_look(policy, i), "linewidth": 0.8},
        )  # fmt: skip
    axes.set_xlabel("attainment: answered on time")
    axes.set_ylabel("accuracy of the models chosen", fontsize=9)


def _column(rows: Sequence[Row], name: str) -> list[float]:
    return [float(row[name]) for row in rows]
