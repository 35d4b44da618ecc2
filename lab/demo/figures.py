"""The demo's figures, as SVG to stand in a page (extra `lab`).

Colours are names of the page's CSS variables, so that one figure serves its light and its dark look.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ondevice.client.planning.plan import Mode
from ondevice.lab.demo.run import RequestRecord, Run
from ondevice.lab.demo.scenario import RATE_MS, Scenario
from ondevice.lab.demo.summary import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# matplotlib knows no CSS: each variable is drawn in a colour of its own, and put in its place afterwards.
_VARIABLES = {
    name: f"#0101{number:02x}"
    for number, name in enumerate(("ink", "faint", "device", "cloud", "hedge", "auto", "late", "link"))
}
# Text as text, in the page's own font; thin grid lines, without a frame, for what is drawn is to be seen first.
_STYLE: dict[Any, object] = {
    "svg.fonttype": "none",
    "font.size": 10.0,
    **dict.fromkeys(("text.color", "axes.labelcolor", "xtick.color", "ytick.color"), _VARIABLES["ink"]),
    **dict.fromkeys(("axes.edgecolor", "grid.color"), _VARIABLES["faint"]),
    **dict.fromkeys(("axes.spines.top", "axes.spines.right"), False),
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}
_MARKS = {Mode.DEVICE: "s", Mode.CLOUD: "^", Mode.HEDGE: "D", Mode.AUTO: "o"}


def timeline(scenario: Scenario, run: Run) -> str:
    """The uplink's rate over time, and below it how long each request of a mode took and where it was answered."""

    def draw(figure: Figure) -> None:
        above, below = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": (1, 1.5)})
        _draw_rate(above, scenario)
        _draw_requests(below, scenario, run)

    return _svg((9.0, 4.4), draw)


def latencies(scenario: Scenario, runs: Sequence[Run]) -> str:
    """Each mode's distribution of the time to an answer; a curve that ends below 1 had requests without any."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for run in runs:
            times = np.sort([record.total_ms for record in run.records if record.where])
            share = np.arange(1, len(times) + 1) / len(run.records)
            width = 2.4 if run.mode is Mode.AUTO else 1.6
            axes.step(times, share, where="post", color=_VARIABLES[run.mode], label=str(run.mode), linewidth=width)
        axes.axvline(scenario.sla_ms, color=_VARIABLES["late"], linestyle="--", linewidth=1.2, label="deadline")
        axes.set(xlabel="ms to the answer", ylabel="share of requests", ylim=(0, 1.02), xlim=(0, scenario.every_ms))
        axes.legend(loc="lower right")

    return _svg((5.2, 3.6), draw)


def trade(rows: Sequence[Row]) -> str:
    """Accuracy of the answers against the share that is on time; up and to the right is better."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for row in rows:
            if row["top1 answered"] is None:
                continue
            mode = Mode(row["mode"])
            ring = mode is Mode.AUTO  # often as good as hedge: both are to be seen
            axes.plot(
                row["attainment"], row["top1 answered"], _MARKS[mode], label=str(mode), linestyle="none",
                markersize=15 if ring else 8, markeredgewidth=2, color=_VARIABLES[mode],
                markerfacecolor="none" if ring else _VARIABLES[mode],
            )  # fmt: skip
        axes.set(xlabel="attainment: answered on time", ylabel="accuracy of the answers")
        axes.margins(0.3)
        axes.set(xlim=(axes.get_xlim()[0], 1.03), ylim=(axes.get_ylim()[0], 1.03))
        axes.legend(loc="lower left")

    return _svg((5.2, 3.6), draw)


def _draw_rate(axes: Axes, scenario: Scenario) -> None:
    seconds = np.arange(0, scenario.lasts_ms, RATE_MS) / 1e3
    axes.fill_between(seconds, scenario.uplink_mbps(), step="post", color=_VARIABLES["link"], alpha=0.5, linewidth=0)
    begin, end = (scenario.due_ms(number) / 1e3 for number in (scenario.no_signal.start, scenario.no_signal.stop))
    axes.axvspan(begin, end, color=_VARIABLES["late"], alpha=0.15, linewidth=0)
    axes.annotate("no signal", ((begin + end) / 2, 0.88), xycoords=("data", "axes fraction"), ha="center")
    axes.set(ylabel="uplink, Mbit/s", ylim=(0, None), xlim=(0, scenario.lasts_ms / 1e3))


def _draw_requests(axes: Axes, scenario: Scenario, run: Run) -> None:
    for where, mark, label in (("cloud", "o", "from the cloud"), ("device", "s", "from the phone")):
        _dots(axes, [r for r in run.records if r.where == where and r.on_time], mark, where, label)
    _dots(axes, [record for record in run.records if not record.on_time], "x", "late", "late, or no answer")
    axes.axhline(scenario.sla_ms, color=_VARIABLES["late"], linestyle="--", linewidth=1.2, label="deadline")
    axes.set(ylabel=f"{run.mode}: ms to the answer")
    axes.set_xlabel("s", loc="right")
    axes.set_ylim(0, 1.1 * max([scenario.sla_ms, *(record.total_ms for record in run.records)]))
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.2), ncols=4)


def _dots(axes: Axes, records: Sequence[RequestRecord], mark: str, colour: str, label: str) -> None:
    if records:
        at_s, took_ms = [r.at_ms / 1e3 for r in records], [r.total_ms for r in records]
        axes.plot(at_s, took_ms, mark, linestyle="none", markersize=5, color=_VARIABLES[colour], label=label)


def _svg(inches: tuple[float, float], draw: Callable[[Figure], None]) -> str:
    """What `draw` draws, as an SVG element that is as wide as where it stands."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    out = io.StringIO()
    # Each figure its own salt: names of things inside of it are the page's.
    with mpl.rc_context({**_STYLE, "svg.hashsalt": draw.__qualname__}):
        figure = Figure(figsize=inches, layout="constrained")
        draw(figure)
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = re.sub(r'(<svg [^>]*?) height="[^"]*"', r"\1", out.getvalue()[out.getvalue().index("<svg") :])
    svg = re.sub(r'(<svg [^>]*?) width="[^"]*"', r"\1", svg, count=1)
    return _with_variables(svg)


def _with_variables(svg: str) -> str:
    for name, colour in _VARIABLES.items():
        svg = svg.replace(colour, f"var(--{name})")
    return svg
