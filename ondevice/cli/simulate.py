"""`ondevice simulate`: what policies would give, on simulated networks, before anyone deploys them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice import words
from ondevice.cli import console
from ondevice.cli.console import Format
from ondevice.cli.options import OutputFormat, size_bytes
from ondevice.errors import UsageError, naming

if TYPE_CHECKING:
    from ondevice.lab.simulate.arrivals import Arrivals
    from ondevice.lab.simulate.curves import SimulationFigure
    from ondevice.lab.simulate.device_model import DeviceModel
    from ondevice.lab.simulate.grid import CaseResult, Grid
    from ondevice.lab.simulate.modelset import ModelSet
    from ondevice.lab.simulate.simulation import SimulationSettings

Texts = list[str] | None
# They give shares to ± 0.00003 (95 %), and take hours: more is a slip of the finger.
_MOST_REQUESTS = 1_000_000_000


def simulate(
    models: Annotated[
        list[str],
        typer.Option(
            "--models",
            "-m",
            metavar="FILE",
            help="A model set: FILE.csv or FILE.csv:COLUMN (model, top1 or top1_percent, …_mean_ms, …_std_ms), or the "
            "FILE.json of `ondevice bench --save`. May be given several times.",
        ),
    ],
    network: Annotated[
        list[str],
        typer.Option(
            "--network",
            "-n",
            help="normal:mean=50,std=25 (ms, one draw for both legs); lognormal:mean=46,std=24,correlation=0.8; "
            "floor:min=20,tail=15,shape=2; trace:NAME_OR_FILE,rtt=40, as in `ondevice link --trace`. Each may go on "
            "with drift=FACTOR@REQUEST or FACTOR@FIRST-LAST, and outage=START:LENGTH[:EVERY] in s. Several: with "
            "commas between, or given several times.",
        ),
    ],
    sla: Annotated[list[str], typer.Option("--sla", help="Deadlines, ms: 150,200 or FROM-TO:STEP, as 100-300:10.")],
    policy: Annotated[
        Texts,
        typer.Option(
            "--policy",
            "-p",
            help="Policies, their settings after a colon, as mdinference:gamma=2; also oracle, which knows all times "
            "in advance, and device, which asks no cloud.",
            show_default="all",
        ),
    ] = None,
    only: Annotated[Texts, typer.Option("--only", help="Take models that match, as 'mobilenet_*,nasnet_*'.")] = None,
    without: Annotated[Texts, typer.Option("--without", help="Leave models out that match.")] = None,
    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="The device's own model: CARD:MODEL, with a published time, or FILE.json:MODEL, with a profile saved "
            "by `ondevice bench --device CARD --save`.",
            show_default="none",
        ),
    ] = None,
    device_top1: Annotated[
        float | None, typer.Option("--device-top1", help="Its accuracy, a fraction.", show_default="as it is known")
    ] = None,
    device_ms: Annotated[
        float | None, typer.Option("--device-ms", help="Its time, instead of --device.", show_default="0")
    ] = None,
    cold: Annotated[bool, typer.Option("--cold", help="The device loads its model before each inference.")] = False,
    duplication: Annotated[
        bool, typer.Option("--duplication/--no-duplication", help="The device's answer stands in for a late one.")
    ] = True,
    load: Annotated[
        Texts,
        typer.Option(
            "--load",
            help="When requests come: poisson:rate=20 (a second), poisson:load=1.2 (of what the most accurate model "
            "could carry), bursts:rate=20,factor=5,length=2 (s), file:FILE (ms, one a line).",
            show_default="alone, without queues",
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Of the server, with --load.")] = 1,
    queue: Annotated[
        str | None,
        typer.Option(
            "--queue",
            help="With --load, what policies know of the queue: blind (nothing, as published), known (the expected "
            "wait), turn (the choice is made when a worker is free). Several with commas.",
            show_default="blind",
        ),
    ] = None,
    knows: Annotated[
        str,
        typer.Option(
            "--knows",
            help="What is known of the reply: seen (the last ones, learned from the stream itself), given (learned "
            "too, given the upload, as the client does; slower), true (the network's own distribution), upload (as "
            "published: it takes as long as the upload).",
        ),
    ] = "seen",
    picture: Annotated[str, typer.Option("--bytes", help="The picture's size, for traces.")] = "100kB",
    reply: Annotated[str, typer.Option("--reply-bytes", help="The reply's size, for traces.")] = "1kB",
    requests: Annotated[
        int, typer.Option("--requests", "-r", min=1, max=_MOST_REQUESTS, help="Of each case.")
    ] = 10_000,
    seed: Annotated[int, typer.Option("--seed", min=0, help="All chance comes from it.")] = 0,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=1024, help="Processes.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="All results, CSV.", show_default=False)
    ] = None,
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="A picture: svg, png or pdf.", show_default=False)
    ] = None,
    plot: Annotated[
        str,
        typer.Option("--plot", help="What it shows: effective, top1, attainment, latency, usage, reliance or trade."),
    ] = "effective",
    published: Annotated[
        Path | None,
        typer.Option(
            "--published",
            metavar="FILE",
            help="Points to draw beside the curves: a CSV of policy, sla_ms, value.",
            show_default=False,
        ),
    ] = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Simulate policies with model sets on networks, for each deadline: accuracy, attainment, times, what models run.

    A row of the result is a case: its measures with 95 % intervals, and the share of each model. On Ctrl-C the cases
    that are done are kept.
    """
    from ondevice.lab.simulate import arrivals, grid, legs, notation
    from ondevice.lab.simulate.estimates import ReplyEstimate
    from ondevice.lab.simulate.simulation import QueueView, SimulationSettings, check_policy
    from ondevice.models import files

    sheet = _sheet(figure, plot, published)
    if out is not None:
        with naming("--out"):
            files.check(out)
    sets = _sets(models, only, without)
    device_model = _device_model(device, device_top1, device_ms, cold, sets)
    policies = notation.split_items(policy or ()) or _all_policies(device_model)
    for text in policies:
        check_policy(text)
    _check_device(policies, device_model)
    loads = [arrivals.find(text) for text in notation.split_items(load or ())] or [arrivals.ALONE]
    _check_load(loads, queue)
    networks = [legs.find(text, seed) for text in notation.split_items(network)]
    if not networks:
        raise UsageError("no network: give --network, such as normal:mean=50,std=25")
    plan = grid.Grid(
        sets,
        networks,
        loads,
        grid.deadlines(sla),
        policies,
        [QueueView(words.known(word, list(QueueView), "queue")) for word in notation.split_items([queue or "blind"])],
        workers,
    )
    estimate = ReplyEstimate(words.known(knows, list(ReplyEstimate), "--knows"))
    settings = SimulationSettings(requests, seed, estimate, _sizes(picture, reply), device_model, duplication)
    _run(plan, settings, jobs, _Outputs(out, sheet, form))


class _Outputs:
    """Where the results go."""

    def __init__(self, out: Path | None, sheet: SimulationFigure | None, form: Format) -> None:
        self._out, self._sheet, self._form = out, sheet, form

    def write(self, done: Sequence[CaseResult], settings: SimulationSettings) -> None:
        """Write all: the files, and then what goes to standard output."""
        rows = [each.row(settings) for each in done]
        if self._out is not None:
            _write(self._out, console.comma_separated(rows))
        if self._sheet is not None and rows:
            self._sheet.draw(rows)
            console.note(f"drawn: {self._sheet.path}")
        tabular = self._form in (Format.TABLE, Format.MD)
        console.emit(_table(rows) if tabular else rows, self._form)


def _run(plan: Grid, settings: SimulationSettings, jobs: int, outputs: _Outputs) -> None:
    import contextlib

    from ondevice.lab.simulate import grid

    cases = plan.cases()
    done: list[CaseResult] = []
    try:
        with (
            console.progress(len(cases), "cases") as step,
            contextlib.closing(grid.run(cases, settings, jobs)) as running,
        ):
            for each in running:
                done.append(each)
                step(1)
    except KeyboardInterrupt:
        console.note(f"interrupted: {len(done)} of {len(cases)} cases are done, and kept")
        outputs.write(_in_order(done), settings)
        raise
    outputs.write(_in_order(done), settings)


def _in_order(done: Sequence[CaseResult]) -> list[CaseResult]:
    return sorted(done, key=lambda each: each.number)


def _table(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What fits on a screen: the columns that differ, and the measures."""
    varied = [
        key for key in ("models", "network", "load", "queue") if len({str(row[key]) for row in rows}) > 1
    ]  # fmt: skip
    has_device = any(row["device"] for row in rows)
    measures = ("top1", "attainment", "effective_top1", *(("device_share",) if has_device else ()))
    queued = ("wait_ms",) if any(row["load"] != "alone" for row in rows) else ()
    return [
        {
            **{key: row[key] for key in (*varied, "policy", "sla_ms")},
            **{name: _with_interval(row, name) for name in measures},
            **{key: row[key] for key in ("p50_ms", "p95_ms", "server_ms", *queued)},
        }
        for row in rows
    ]


def _with_interval(row: dict[str, Any], name: str) -> str:
    import math

    half = (row[f"{name}_high"] - row[f"{name}_low"]) / 2
    return f"{row[name]:.3f}" + ("" if math.isnan(half) else f" ± {half:.3f}")


def _sets(models: Sequence[str], only: Texts, without: Texts) -> list[ModelSet]:
    from ondevice.lab.simulate import modelset

    keep = modelset.ModelFilter(modelset.patterns(only or ()), modelset.patterns(without or ()))
    return [modelset.find(text, keep) for text in dict.fromkeys(models)]


def _device_model(
    device: str | None, top1: float | None, ms: float | None, cold: bool, sets: Sequence[ModelSet]
) -> DeviceModel | None:
    from ondevice.lab.simulate import device_model

    if device is not None:
        if ms is not None:
            raise UsageError("--device says how long it takes: leave --device-ms out, or --device")
        known = {name: accuracy for each in sets for name, accuracy in each.top1.items()}
        return device_model.find(device, top1, known, cold)
    if cold:
        raise UsageError("--cold needs a --device, whose card says what loading takes")
    if top1 is None:
        if ms is not None:
            raise UsageError("--device-ms is of no use without the answer's accuracy: give --device-top1 too")
        return None
    return device_model.given(top1, ms or 0.0)


def _all_policies(device: DeviceModel | None) -> list[str]:
    from ondevice.lab.simulate.simulation import DEVICE, ORACLE
    from ondevice.selection.policies import POLICIES

    return [*POLICIES, ORACLE, *([DEVICE] if device else ())]


def _check_device(policies: Sequence[str], device: DeviceModel | None) -> None:
    from ondevice.lab.simulate.simulation import DEVICE

    if DEVICE in policies and device is None:
        raise UsageError("--policy device: which? Give --device, or --device-top1 and --device-ms")


def _check_load(loads: Sequence[Arrivals], queue: str | None) -> None:
    from ondevice import extras

    if any(each.queued for each in loads):
        extras.require("lab", "--load")
    elif queue is not None:
        raise UsageError("--queue is what policies know of the queue under a load: give --load too")


def _sizes(picture: str, reply: str) -> Any:
    from ondevice.lab.simulate.legs import Sizes

    return Sizes(size_bytes("--bytes", picture), size_bytes("--reply-bytes", reply))


def _sheet(path: Path | None, plot: str, published: Path | None) -> SimulationFigure | None:
    """The figure to be drawn, if any; what cannot be drawn is said before the simulation."""
    if path is None:
        if published is not None:
            raise UsageError("--published is drawn into a figure: give --figure too")
        return None
    import shlex

    from ondevice import extras
    from ondevice.lab.simulate import curves

    extras.require("lab", "--figure")
    return curves.SimulationFigure(path, plot, shlex.join(["ondevice", *sys.argv[1:]]), published)


def _write(path: Path, text: str) -> None:
    from ondevice.models import files

    try:
        with files.replacing(path) as out:
            out.write(text.encode())
    except OSError as error:
        raise files.explain(error, path) from error
    console.note(f"saved: {path}")
