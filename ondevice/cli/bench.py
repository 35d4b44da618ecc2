"""`ondevice bench`: how long models take."""

from __future__ import annotations

import signal
from dataclasses import dataclass, replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console
from ondevice.cli.commands import grouped
from ondevice.cli.console import Format
from ondevice.cli.options import DeviceName, OutputFormat, RuntimeName, ScaledDecode, expanded, size_bytes
from ondevice.errors import OnDeviceError, UsageError, naming

if TYPE_CHECKING:
    from ondevice.bench.record import BenchRecord
    from ondevice.bench.spec import Spec
    from ondevice.limits.limits import Limits

# Where it is not said: timed runs, of which five are then slower than the 90th percentile; and queries of a scenario,
# as MLPerf has them for a single stream (LoadGen calls a run VALID from 662 on in any scenario).
_RUNS, _QUERIES = 50, 1024
Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL...", help="Names from `ondevice models list`, or paths to any .tflite.", show_default=False
    ),
]


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

            extras.require("lab", "--plot")
            plot.check(self.plot)


@grouped
def bench(
    models: Models = None,
    *,
    run: RunFlags,
    limit: LimitFlags,
    device: DeviceName = None,
    drive: ScenarioFlags,
    files: RecordFlags,
    runtime: RuntimeName = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Measure how long models take, each in a process of its own, and say whether the figures can be trusted.

    What is timed: the inference, its input copied in and its output copied out; with --image also decoding. Ctrl-C
    ends the measuring and prints what there is.
    """
    files.check(measuring=bool(models))
    drive.check()
    if files.compare is not None:
        _compare(*files.compare, form)
    elif files.read is not None:
        _report(_read(files.read), form, files)
    else:
        runs = drive.runs(run.runs)
        scenario = drive.settings(runs, run.min_secs)
        base = run.spec(runtime=runtime, device=device, runs=runs, scenario=scenario)
        specs = [
            replace(base, model=model, threads=count, scenario=_logged(scenario, folder))
            for model, folder in _log_folders(models or [])
            for count in run.counts()
        ]
        records, end = _measure(specs, limit.limits())
        _report(records, form, files)
        if end is not None:
            raise end


def _log_folders(models: list[str]) -> list[tuple[str, str]]:
    """The models, and for each of those of one name a folder of logs, by the part of the path that tells them apart."""
    from ondevice import words

    ends = words.apart(map(PurePath, models))
    return [(model, str(PurePath(ends[PurePath(model)]).parent)) for model in models]


def _logged(scenario: dict[str, Any] | None, folder: str) -> dict[str, Any] | None:
    """The scenario with its logs in a folder of the log folder."""
    return scenario and {**scenario, "log_dir": str(Path(scenario["log_dir"], folder.lstrip("/")))}


def _measure(specs: list[Spec], limits: Limits) -> tuple[list[BenchRecord], BaseException | None]:
    """All records; and where one could not be measured, or Ctrl-C or SIGTERM came, how to end then."""
    from ondevice.bench.measure import measure

    # A polite kill must take the control group away too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    records: list[BenchRecord] = []
    end: BaseException | None = None
    for number, spec in enumerate(specs, 1):
        try:
            with console.progress(max(spec.runs, 2), f"{spec.model}, {_count(spec.threads or 1)}") as step:
                records.append(measure(spec, limits, step, console.error))
            _warn(records[-1])
        except KeyboardInterrupt as interrupt:
            partial = getattr(interrupt, "record", None)
            return records + ([partial] if partial else []), interrupt
        except OnDeviceError as error:
            if number == len(specs) and not records:
                raise
            console.error(str(error))
            end = typer.Exit(1)
    return records, end


def _warn(record: BenchRecord) -> None:
    quota = record.limits.get("cpu_quota") or record.host["cpu_quota"]
    cores = len(record.limits.get("cpus") or ()) or record.host["usable_cores"]
    if not record.emulated and record.num_threads > min(cores, quota or cores):
        limit = f"a quota of {quota:g}" if quota and quota < cores else f"{cores} usable"
        plural = "s" * (limit != "1 usable")
        console.note(f"warning: {record.model}: {_count(record.num_threads)} on {limit} processor{plural}")


def _count(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def _read(path: Path) -> list[BenchRecord]:
    from ondevice.bench import record

    return record.read(path)


def _report(records: list[BenchRecord], form: Format, files: RecordFlags) -> None:
    from ondevice.bench import table

    if form in (Format.TABLE, Format.MD):
        if records:
            console.emit(table.rows(records), form, ".3f")
        if lines := table.reasons(records):
            print("\n" + "\n".join(map(console.printable, lines)))
    elif form is Format.CSV:
        console.emit([table.flat(record) for record in records], form)
    else:
        console.emit([record.as_dict() for record in records], form)
    if files.save is not None:
        _save(records, files.save)
    if files.plot is not None:
        from ondevice.bench.plot import distributions

        distributions(records, files.plot)
        console.note(f"drawn: {files.plot}")


def _save(records: list[BenchRecord], path: Path) -> None:
    from ondevice.bench.names import names
    from ondevice.timing import profile

    profiles = [
        profile.Profile.of(name, r.samples_ms, r.device, r.runtime, r.num_threads)
        for r, name in zip(records, names(records), strict=True)
        if r.num_runs > 1
    ]
    console.save(path, profile.dumps(profiles))


def _compare(a: Path, b: Path, form: Format) -> None:
    from ondevice.bench import table

    found = table.compared(_read(a), _read(b))
    for only, where in ((found.only_a, a), (found.only_b, b)):
        if only:
            console.note(f"not compared, for the other file has nothing of it: {'; '.join(only)} ({where})")
    console.emit(found.rows, form, ".3f")
