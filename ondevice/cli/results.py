"""What `ondevice simulate` makes of its cases: a file, a figure, and what goes to standard output."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ondevice.cli import console
from ondevice.cli.console import Format

if TYPE_CHECKING:
    from ondevice.lab.simulate.curves import SimulationFigure
    from ondevice.lab.simulate.grid import CaseResult
    from ondevice.lab.simulate.simulation import SimulationSettings


class Results:
    """Where the results go."""

    def __init__(self, out: Path | None, sheet: SimulationFigure | None, form: Format) -> None:
        self._out, self._sheet, self._form = out, sheet, form

    def write(self, done: Sequence[CaseResult], settings: SimulationSettings) -> None:
        """Write all: the files, and then what goes to standard output."""
        rows = [each.row(settings) for each in done]
        if self._out is not None:
            console.save(self._out, console.comma_separated(rows))
        if self._sheet is not None and rows:
            self._sheet.draw(rows)
            console.note(f"drawn: {self._sheet.path}")
        tabular = self._form in (Format.TABLE, Format.MD)
        console.emit(_table(rows) if tabular else rows, self._form)


def _table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What fits on a screen: the columns that differ, and the measures."""
    varied = [
        key for key in ("models", "network", "load", "queue", "upload") if len({str(row[key]) for row in rows}) > 1
    ]  # fmt: skip
    has_device = any(row["device"] for row in rows)
    measures = ("top1", "attainment", "effective_top1", *(("device_share",) if has_device else ()))
    queued = ("wait_ms",) if any(row["queue"] for row in rows) else ()
    sent = ("sent_bytes",) if any(row["sent_bytes"] is not None for row in rows) else ()
    return [
        {
            **{key: row[key] for key in (*varied, "policy", "sla_ms")},
            **{name: _with_interval(row, name) for name in measures},
            **{key: row[key] for key in ("p50_ms", "p95_ms", "server_ms", *queued, *sent)},
        }
        for row in rows
    ]


def _with_interval(row: dict[str, Any], name: str) -> str:
    import math

    half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return f"{row[name]:.3f}" + ("" if math.isnan(half) else f" ± {half:.3f}")
