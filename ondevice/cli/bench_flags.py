"""The flags of `ondevice bench`, in groups: what is run, what it may use, what drives it, where records go."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console
from ondevice.cli.options import ScaledDecode, expanded, size_bytes
from ondevice.errors import UsageError, naming

if TYPE_CHECKING:
    from ondevice.bench.spec import Spec
    from ondevice.limits.limits import Limits

# Where it is not said: timed runs, of which five are then slower than the 90th percentile; and queries of a scenario,
# as MLPerf has them for a single stream (LoadGen calls a run VALID from 662 on in any scenario).
_RUNS, _QUERIES = 50, 1024


@dataclass(frozen=True)
class RunFlags:
    """What is run, and how often."""

    threads: Annotated[
        str | None,
        typer.Option(
            "--threads",
            "-t",
            help="Thread counts, such as 1,2,4: each is measured.",
            show_default="1, or as --device has",
        ),
    ] = None
    warmup: Annotated[int, typer.Option("--warmup", help="Inferences before the timed runs.")] = 10
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs", help="At least so many timed runs, or queries.", show_default="50; 1024 with --scenario"
        ),
    ] = None
    min_secs: Annotated[float, typer.Option("--min-secs", help="At least so many seconds of timed runs.")] = 1.0
    interval: Annotated[float, typer.Option("--interval", help="Rest between two runs, in ms.")] = 0.0
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            help="A picture, glob or folder: runs then decode and classify pictures in turn. May be repeated.",
            show_default="one random tensor, decoding left out",
        ),
    ] = None
    scaled_decode: ScaledDecode = True
    shape: Annotated[
        list[str] | None,
        typer.Option(
            "--shape",
            metavar="SIZES",
            help="Such as 1,96,64: an input's sizes, for a file that leaves some open and is not a classifier; once "
            "for each such input.",
            show_default="those of the file",
        ),
    ] = None

    def spec(self, **more: Any) -> Spec:
        """One measurement of these runs, with `more` of its fields. Raises UsageError."""
        from ondevice.bench.spec import Spec

        images: tuple[str, ...] = ()
        if self.image:
            with naming("--image"):
                images = expanded(self.image)
        return Spec(
            model="",
            warmup=self.warmup,
            min_secs=self.min_secs,
            interval_ms=self.interval,
            images=images,
            scaled_decode=self.scaled_decode,
            shapes=tuple(map(_shape, self.shape or ())),
            **more,
        )

    def counts(self) -> list[int | None]:
        """The numbers of threads, each of which is measured. Raises UsageError."""
        from ondevice.limits.threads import parse_threads

        return [None] if self.threads is None else [*parse_threads(self.threads)]


@dataclass(frozen=True)
class LimitFlags:
    """What the measuring process may use."""

    cpus: Annotated[
        str | None, typer.Option("--cpus", help="Processors to run on, such as 0,1 or 0-3.", show_default="all")
    ] = None
    cpu_quota: Annotated[
        str | None,
        typer.Option(
            "--cpu-quota", help="CPUs' worth of time, such as 0.5 or 50%: a control group.", show_default="none"
        ),
    ] = None
    memory: Annotated[
        str | None,
        typer.Option("--memory", help="Memory the measuring process may take, such as 256MB.", show_default="none"),
    ] = None

    def limits(self) -> Limits:
        """The limits, read. Raises UsageError."""
        from ondevice.limits.affinity import parse_cpus
        from ondevice.limits.limits import Limits
        from ondevice.limits.quota import parse_quota

        return Limits(
            None if self.cpus is None else parse_cpus(self.cpus),
            None if self.cpu_quota is None else parse_quota(self.cpu_quota),
            None if self.memory is None else size_bytes("--memory", self.memory),
        )


@dataclass(frozen=True)
class ScenarioFlags:
    """What MLPerf's LoadGen is to do, if it is to drive."""

    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario",
            help="Let MLPerf's LoadGen drive: single-stream, multi-stream, server or offline.",
            show_default="none",
        ),
    ] = None
    target_qps: Annotated[
        float | None,
        typer.Option(
            "--target-qps", help="Server scenario: queries a second.", show_default="the highest that meets the bound"
        ),
    ] = None
    latency_bound: Annotated[
        float, typer.Option("--latency-bound", help="Server scenario: what the 99th percentile must meet, in ms.")
    ] = 100.0
    log_dir: Annotated[Path, typer.Option("--log-dir", help="Where LoadGen's logs are kept, in a folder a run.")] = (
        Path("mlperf_logs")
    )

    def runs(self, wanted: int | None) -> int:
        """How many runs, or queries, where it is not said."""
        usual = _RUNS if self.scenario is None else _QUERIES
        return usual if wanted is None else wanted

    def check(self) -> None:
        """Raise UsageError for a rate where LoadGen is not to choose the times."""
        if self.scenario != "server" and self.target_qps is not None:
            raise UsageError("--target-qps is for --scenario server")

    def settings(self, runs: int, min_secs: float) -> dict[str, Any] | None:
        """The scenario as `Spec` has it. Raises UsageError, and MissingError without LoadGen."""
        if self.scenario is None:
            return None
        from ondevice import extras
        from ondevice.bench import mlperf

        settings = mlperf.ScenarioSettings(self.scenario, runs, min_secs, self.target_qps, self.latency_bound)
        extras.require("mlperf", "an MLPerf scenario")
        return {**console.as_record(settings), "log_dir": str(self.log_dir)}


@dataclass(frozen=True)
class RecordFlags:
    """Which records are read instead, and where they go."""

    read: Annotated[
        Path | None,
        typer.Option(
            "--read", metavar="FILE", help="Print the records of a JSON file, measuring nothing.", show_default=False
        ),
    ] = None
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--compare", metavar="A B", help="Compare two JSON files of records, measuring nothing.", show_default=False
        ),
    ] = None
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", metavar="FILE", help="Also save profiles, for endpoint and simulator.", show_default=False
        ),
    ] = None
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Also draw the distributions (.png, .svg, .pdf).", show_default=False
        ),
    ] = None

    def check(self, measuring: bool) -> None:
        """Raise UsageError where it is not one thing that is to be done, or the plot cannot be drawn."""
        if sum((measuring, self.read is not None, self.compare is not None)) != 1:
            raise UsageError("give either models to measure, or --read FILE, or --compare A B")
        if self.compare is not None and (self.save or self.plot):
            raise UsageError("--compare prints a table: leave --save and --plot out")
        if self.plot is not None:
            from ondevice import extras
            from ondevice.bench import plot

            extras.require("lab", "--plot", "matplotlib")
            plot.check(self.plot)


def _shape(text: str) -> tuple[int, ...]:
    """The numbers of `--shape 1,96,64`. Raises UsageError."""
    try:
        sizes = tuple(int(part) for part in text.split(","))
    except ValueError:
        sizes = (0,)
    if min(sizes) < 1:
        raise UsageError(f"--shape takes whole numbers from 1 on, such as 1,96,64, not '{text}'")
    return sizes
