"""`ondevice simulate`: what policies would give, on simulated networks, before anyone deploys them."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ondevice import words
from ondevice.cli import console
from ondevice.cli.commands import grouped
from ondevice.cli.console import Format
from ondevice.cli.options import OutputFormat, size_bytes
from ondevice.cli.results import Results
from ondevice.cli.upload_flags import SimulatedUploadFlags
from ondevice.errors import UsageError, naming

if TYPE_CHECKING:
    from ondevice.lab.simulate.arrivals import Arrivals
    from ondevice.lab.simulate.curves import SimulationFigure
    from ondevice.lab.simulate.device_model import DeviceModel
    from ondevice.lab.simulate.grid import CaseResult, Grid
    from ondevice.lab.simulate.legs import NetworkModel
    from ondevice.lab.simulate.modelset import ModelSet
    from ondevice.lab.simulate.simulation import QueueView, SimulationSettings

Texts = list[str] | None
# They give shares to ± 0.00003 (95 %), and take hours: more is a slip of the finger.
_MOST_REQUESTS = 1_000_000_000


@dataclass(frozen=True)
class CaseFlags:
    """What is combined, each with each."""

    models: Annotated[
        list[str],
        typer.Option(
            "--models",
            "-m",
            metavar="FILE",
            help="A model set: FILE.csv or FILE.csv:COLUMN (model, top1 or top1_percent, …_mean_ms, …_std_ms), or the "
            "FILE.json of `ondevice bench --save`. May be given several times.",
        ),
    ]
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
    ]
    sla: Annotated[list[str], typer.Option("--sla", help="Deadlines, ms: 150,200 or FROM-TO:STEP, as 100-300:10.")]
    policy: Annotated[
        Texts,
        typer.Option(
            "--policy",
            "-p",
            help="Policies, their settings after a colon, as mdinference:gamma=2; also oracle, which knows all times "
            "in advance, and device, which asks no cloud.",
            show_default="all",
        ),
    ] = None
    only: Annotated[Texts, typer.Option("--only", help="Take models that match, as 'mobilenet_*,nasnet_*'.")] = None
    without: Annotated[Texts, typer.Option("--without", help="Leave models out that match.")] = None

    def sets(self) -> list[ModelSet]:
        """The model sets, without what is left out. Raises UsageError, and OnDeviceError for a malformed file."""
        from ondevice.lab.simulate import modelset

        keep = modelset.ModelFilter(modelset.patterns(self.only or ()), modelset.patterns(self.without or ()))
        return modelset.told_apart({text: modelset.find(text, keep) for text in self.models})

    def networks(self, seed: int) -> list[NetworkModel]:
        """The networks, one at least. Raises UsageError, and OnDeviceError for a malformed trace."""
        from ondevice.lab.simulate import legs, notation

        found = [legs.find(text, seed) for text in notation.split_items(self.network)]
        if not found:
            raise UsageError("no network: give --network, such as normal:mean=50,std=25")
        return found

    def policies(self, device: DeviceModel | None, uploads: bool) -> list[str]:
        """The policies; where none is given all, or with uploads those that say most of them. Raises UsageError."""
        from ondevice.lab.simulate import notation
        from ondevice.lab.simulate.simulation import DEVICE, ORACLE, check_policy
        from ondevice.lab.simulate.upload_rules import CHOOSING_BOTH
        from ondevice.selection.policies import POLICIES, effective

        everything = [effective.__name__, *CHOOSING_BOTH] if uploads else [*POLICIES, ORACLE]
        everything += [DEVICE] if device else []
        wanted = notation.split_items(self.policy or ()) or everything
        for text in wanted:
            check_policy(text)
        if DEVICE in wanted and device is None:
            raise UsageError("--policy device: which? Give --device, or --device-top1 and --device-ms")
        return wanted


@dataclass(frozen=True)
class OwnModelFlags:
    """The device's own model."""

    device: Annotated[
        str | None,
        typer.Option(
            "--device",
            help="The device's own model: CARD:MODEL, with a published time, or FILE.json:MODEL, with a profile saved "
            "by `ondevice bench --device CARD --save`.",
            show_default="none",
        ),
    ] = None
    device_top1: Annotated[
        float | None, typer.Option("--device-top1", help="Its accuracy, a fraction.", show_default="as it is known")
    ] = None
    device_ms: Annotated[
        float | None, typer.Option("--device-ms", help="Its time, instead of --device.", show_default="0")
    ] = None
    cold: Annotated[bool, typer.Option("--cold", help="The device loads its model before each inference.")] = False
    duplication: Annotated[
        bool, typer.Option("--duplication/--no-duplication", help="The device's answer stands in for a late one.")
    ] = True

    def model(self, sets: Sequence[ModelSet]) -> DeviceModel | None:
        """The model; accuracies that are not given are those of the sets, or the zoo's. Raises UsageError."""
        from ondevice.lab.simulate import device_model

        if self.device is None:
            return self._told()
        if self.device_ms is not None:
            raise UsageError("--device says how long it takes: leave --device-ms out, or --device")
        known = {name: accuracy for each in sets for name, accuracy in each.top1.items()}
        return device_model.find(self.device, self.device_top1, known, self.cold)

    def _told(self) -> DeviceModel | None:
        from ondevice.lab.simulate import device_model

        if self.cold:
            raise UsageError("--cold needs a --device, whose card says what loading takes")
        if self.device_top1 is not None:
            return device_model.given(self.device_top1, self.device_ms or 0.0)
        if self.device_ms is not None:
            raise UsageError("--device-ms is of no use without the answer's accuracy: give --device-top1 too")
        return None


@dataclass(frozen=True)
class LoadFlags:
    """When requests come, and who waits."""

    load: Annotated[
        Texts,
        typer.Option(
            "--load",
            help="When requests come: poisson:rate=20 (a second), poisson:load=1.2 (of what the most accurate model "
            "could carry), bursts:rate=20,factor=5,length=2 (s), file:FILE (ms, one a line).",
            show_default="alone, without queues",
        ),
    ] = None
    workers: Annotated[int, typer.Option("--workers", min=1, help="Of the server, with --load.")] = 1
    queue: Annotated[
        str | None,
        typer.Option(
            "--queue",
            help="With --load, what policies know of the queue: blind (nothing, as published), known (the expected "
            "wait), turn (the choice is made when a worker is free). Several with commas.",
            show_default="blind",
        ),
    ] = None

    def arrivals(self) -> list[Arrivals]:
        """The loads. Raises UsageError, and MissingError where they need an extra."""
        from ondevice import extras
        from ondevice.lab.simulate import arrivals, notation

        found = [arrivals.find(text) for text in notation.split_items(self.load or ())] or [arrivals.ALONE]
        if any(each.queued for each in found):
            extras.require("lab", "--load", "simpy")
        elif self.queue is not None:
            raise UsageError("--queue is what policies know of the queue under a load: give --load too")
        return found

    def views(self) -> list[QueueView]:
        """What policies know of the queue. Raises UsageError."""
        from ondevice.lab.simulate import notation
        from ondevice.lab.simulate.simulation import QueueView

        texts = notation.split_items([self.queue or "blind"])
        return [QueueView(words.known(text, list(QueueView), "queue")) for text in texts]


@dataclass(frozen=True)
class DrawFlags:
    """How each case is drawn."""

    knows: Annotated[
        str,
        typer.Option(
            "--knows",
            help="What is known of the reply: seen (the last ones, learned from the stream itself), given (learned "
            "too, given the upload, as the client does; slower), true (the network's own distribution), upload (as "
            "published: it takes as long as the upload).",
        ),
    ] = "seen"
    picture: Annotated[str, typer.Option("--bytes", help="The picture's size, for traces.")] = "100kB"
    reply: Annotated[str, typer.Option("--reply-bytes", help="The reply's size, for traces.")] = "1kB"
    requests: Annotated[int, typer.Option("--requests", "-r", min=1, max=_MOST_REQUESTS, help="Of each case.")] = 10_000
    seed: Annotated[int, typer.Option("--seed", min=0, help="All chance comes from it.")] = 0
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=1024, help="Processes.")] = 1

    def settings(self, device: DeviceModel | None, duplication: bool) -> SimulationSettings:
        """What all cases have in common. Raises UsageError."""
        from ondevice.lab.simulate.estimates import ReplyEstimate
        from ondevice.lab.simulate.legs import Sizes
        from ondevice.lab.simulate.simulation import SimulationSettings

        estimate = ReplyEstimate(words.known(self.knows, list(ReplyEstimate), "--knows"))
        sizes = Sizes(size_bytes("--bytes", self.picture), size_bytes("--reply-bytes", self.reply))
        return SimulationSettings(self.requests, self.seed, estimate, sizes, device, duplication)


@dataclass(frozen=True)
class OutputFlags:
    """Where the results go."""

    out: Annotated[
        Path | None, typer.Option("--out", "-o", metavar="FILE", help="All results, CSV.", show_default=False)
    ] = None
    figure: Annotated[
        Path | None, typer.Option("--figure", metavar="FILE", help="A picture: svg, png or pdf.", show_default=False)
    ] = None
    plot: Annotated[
        str,
        typer.Option("--plot", help="What it shows: effective, top1, attainment, latency, usage, reliance or trade."),
    ] = "effective"
    published: Annotated[
        Path | None,
        typer.Option(
            "--published",
            metavar="FILE",
            help="Points to draw beside the curves: a CSV of policy, sla_ms, value.",
            show_default=False,
        ),
    ] = None
    form: OutputFormat = Format.TABLE

    def results(self) -> Results:
        """What takes the results; what it cannot write or draw is said before the simulation. Raises UsageError."""
        from ondevice.models import files

        if self.out is not None:
            with naming("--out"):
                files.check(self.out)
        return Results(self.out, self._drawn(), self.form)

    def _drawn(self) -> SimulationFigure | None:
        if self.figure is None:
            if self.published is not None:
                raise UsageError("--published is drawn into a figure: give --figure too")
            return None
        import shlex

        from ondevice import extras
        from ondevice.lab.simulate import curves

        extras.require("lab", "--figure", "matplotlib")
        return curves.SimulationFigure(self.figure, self.plot, shlex.join(["ondevice", *sys.argv[1:]]), self.published)


@grouped
def simulate(
    case: CaseFlags,
    own: OwnModelFlags,
    load: LoadFlags,
    sent: SimulatedUploadFlags,
    draw: DrawFlags,
    output: OutputFlags,
) -> None:
    """Simulate policies with model sets on networks, for each deadline: accuracy, attainment, times, what models run.

    A row of the result is a case: its measures with 95 % intervals, and the share of each model. On Ctrl-C the cases
    that are done are kept.
    """
    from ondevice.lab.simulate import grid

    results = output.results()
    sets = case.sets()
    device = own.model(sets)
    policies, loads = case.policies(device, sent.upload is not None), load.arrivals()
    sent.check(policies, load.queue is not None or load.workers > 1, draw.knows == DrawFlags.knows)
    settings = draw.settings(device, own.duplication)
    uploads = sent.plan(sets, settings.sizes.up_bytes)
    networks, slas_ms = case.networks(draw.seed), grid.deadlines(case.sla)
    plan = grid.Grid(sets, networks, loads, slas_ms, policies, load.views(), load.workers, uploads)
    _run(plan, dataclasses.replace(settings, uploading=sent.conditions()), draw.jobs, results)


def _run(plan: Grid, settings: SimulationSettings, jobs: int, outputs: Results) -> None:
    import contextlib

    from ondevice.lab.simulate import grid
    from ondevice.lab.simulate.effort import check, foresee

    cases = plan.cases()
    if effort := foresee(cases, settings, jobs):
        check(effort)
        if effort.is_worth_telling:
            said = f"{words.counted(len(cases), 'case')} of {settings.requests:,} requests"
            console.note(f"{said}: {effort}; Ctrl-C keeps the cases that are done")
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
