"""How much of what the best upload of each request would gain do rules have that do not know the times in advance?

    python benchmarks/closing.py MODELS TRACE [TRACE …] [--requests 1000] [--deadline MS …] [--jobs 2]

MODELS: profiles that `ondevice bench --save` wrote, of models of the zoo; TRACE: as `ondevice link` takes it, with a
round trip of 40 ms. As `ondevice simulate --upload` has it: one device's pictures, two a second in the mean, over one
link; a phone whose answer, right as often as the least accurate model's and there after 90 ms, stands in. Effective
accuracy of what 0.1.0 sends (`scaled`), of the best single rung in each cell, found afterwards (`one rung`), of
PieSlicer's and Jellyfish's rules in our reading, of `auto`, and of `hindsight`, which knows all times. closed: the sum
of the gains over `scaled`, as a share of hindsight's, with its 95 % interval, by bootstrap over requests in a row.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from ondevice.cli import console
from ondevice.lab.simulate import arrivals, device_model, legs, modelset
from ondevice.lab.simulate.grid import UploadPlan, run
from ondevice.lab.simulate.outcomes import OutcomeCounts
from ondevice.lab.simulate.simulation import Case, SimulationSettings
from ondevice.lab.simulate.upload_rules import CHOOSING_BOTH, HINDSIGHT, JELLYFISH, PIESLICER
from ondevice.lab.simulate.upload_table import SCALED, PictureSettings
from ondevice.timing.arrays import FloatArray

DEADLINES_MS = (150.0, 250.0, 500.0)
# A mobile network's, a slow phone, and pictures rarely enough that few meet another one.
ROUND_TRIP_MS, PHONE_MS, LOAD = 40.0, 90.0, "poisson:rate=2"
AUTO, ONE_RUNG = "auto", "one rung"
RULES = (ONE_RUNG, PIESLICER, JELLYFISH, AUTO)
# For the best single rung one in so many of the ladder is tried: neighbours differ by little.
RUNGS_APART = 4
# So many stretches of requests are drawn anew: each lasts longer than what learns looks back; and how often.
STRETCHES, DRAWS = 40, 2000

Row = dict[str, Any]
Cell = Mapping[str, OutcomeCounts]


def cases(models: modelset.ModelSet, traces: Sequence[str], slas_ms: Sequence[float]) -> dict[tuple[Any, str], Case]:
    """All of them, by trace and deadline, and what is sent."""
    table = UploadPlan.of([SCALED], [models], PictureSettings()).tables[models.name]
    rungs = [rung.text for rung in table.ladder.rungs[::RUNGS_APART]]
    made = {}
    for trace, sla_ms, text in product(traces, slas_ms, (SCALED, *RULES[1:], HINDSIGHT, *rungs)):
        policy, upload = (text, "") if text in CHOOSING_BOTH else ("effective", text)
        link = legs.find(f"trace:{trace},rtt={ROUND_TRIP_MS:g}")
        made[(trace, sla_ms), text] = Case(
            models, link, sla_ms, policy, arrivals.find(LOAD), table=table, upload=upload
        )
    return made


def simulated(made: Mapping[tuple[Any, str], Case], settings: SimulationSettings, jobs: int) -> dict[Any, Cell]:
    """What each rule came to in each cell."""
    keys, found = list(made), {}
    with console.progress(len(keys), "cases") as step:
        for done in run(list(made.values()), settings, jobs):
            found[keys[done.number]] = done.outcomes
            step(1)
    cells: dict[Any, dict[str, OutcomeCounts]] = {cell: {} for cell, _ in keys}
    for cell, text in keys:
        cells[cell][text] = found[cell, text]
    for each in cells.values():
        rungs = [each[text] for text in each if text not in (SCALED, *RULES, HINDSIGHT)]
        each[ONE_RUNG] = max(rungs, key=lambda outcomes: outcomes.effective_top1.value)
    return dict(cells)


def closed(cells: Sequence[Cell], text: str) -> str:
    """The share of the gap, summed over cells. A stretch of requests is drawn in all cells at once."""
    gain, gap = (
        _stretches(np.sum([cell[name].effective_sums - cell[SCALED].effective_sums for cell in cells], axis=0))
        for name in (text, HINDSIGHT)
    )
    drawn = np.random.default_rng(0).integers(len(gain), size=(DRAWS, len(gain)))
    low, high = np.quantile(gain[drawn].sum(axis=1) / gap[drawn].sum(axis=1), [0.025, 0.975])
    return f"{gain.sum() / gap.sum():.2f} ({low:.2f} to {high:.2f})"


def _stretches(sums: FloatArray) -> FloatArray:
    return np.array([part.sum() for part in np.array_split(sums, min(STRETCHES, len(sums)))])


def rows(cells: Mapping[tuple[str, float], Cell]) -> Iterator[Row]:
    """Each cell, and all together."""
    for (trace, sla_ms), cell in cells.items():
        yield {"trace": Path(trace).name, "deadline_ms": sla_ms} | shares([cell])
    yield {"trace": "all", "deadline_ms": None} | shares(list(cells.values()))


def shares(cells: Sequence[Cell]) -> Row:
    """In the mean of these cells."""
    row: Row = {}
    for text in (SCALED, *RULES, HINDSIGHT):
        row[text] = float(np.mean([cell[text].effective_top1.value for cell in cells]))
        if text in RULES:
            row[f"closed by {text}"] = closed(cells, text)
    return row | {"kB by auto": float(np.mean([cell[AUTO].sent_bytes for cell in cells])) / 1e3}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models")
    parser.add_argument("traces", nargs="+")
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--deadline", type=float, action="append")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    models = modelset.find(arguments.models)
    settings = SimulationSettings(
        arguments.requests, device=device_model.given(float(models.models.top1.min()), PHONE_MS)
    )
    made = cases(models, arguments.traces, arguments.deadline or DEADLINES_MS)
    print(console.table(list(rows(simulated(made, settings, arguments.jobs))), ".3f"))


if __name__ == "__main__":
    main()
