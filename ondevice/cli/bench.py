"""`ondevice bench`: how long models take."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console
from ondevice.cli.console import Format
from ondevice.cli.options import DeviceName, OutputFormat, RuntimeName, ScaledDecode, expanded, size_bytes
from ondevice.errors import OnDeviceError, UsageError, naming

if TYPE_CHECKING:
    from ondevice.bench.record import BenchRecord
    from ondevice.bench.spec import Spec
    from ondevice.limits.limits import Limits

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL...", help="Names from `ondevice models list`, or paths to any .tflite.", show_default=False
    ),
]


def bench(
    models: Models = None,
    threads: Annotated[
        str | None,
        typer.Option("--threads", "-t", help="Thread counts, such as 1,2,4: each is measured.", show_default="1"),
    ] = None,
    warmup: Annotated[int, typer.Option("--warmup", help="Inferences before the timed runs.")] = 10,
    runs: Annotated[
        int | None,
        typer.Option(
            "--runs", help="At least so many timed runs, or queries.", show_default="50; 1024 with --scenario"
        ),
    ] = None,
    min_secs: Annotated[float, typer.Option("--min-secs", help="At least so many seconds of timed runs.")] = 1.0,
    interval: Annotated[float, typer.Option("--interval", help="Rest between two runs, in ms.")] = 0.0,
    image: Annotated[
        list[str] | None,
        typer.Option(
            "--image",
            help="A picture, glob or folder: runs then decode and classify pictures in turn. May be repeated.",
            show_default="one random tensor, decoding left out",
        ),
    ] = None,
    scaled_decode: ScaledDecode = True,
    cpus: Annotated[
        str | None, typer.Option("--cpus", help="Processors to run on, such as 0,1 or 0-3.", show_default="all")
    ] = None,
    cpu_quota: Annotated[
        str | None,
        typer.Option(
            "--cpu-quota", help="CPUs' worth of time, such as 0.5 or 50%: a control group.", show_default="none"
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option("--memory", help="Memory the measuring process may take, such as 256MB.", show_default="none"),
    ] = None,
    device: DeviceName = None,
    scenario: Annotated[
        str | None,
        typer.Option(
            "--scenario",
            help="Let MLPerf's LoadGen drive: single-stream, multi-stream, server or offline.",
            show_default="none",
        ),
    ] = None,
    target_qps: Annotated[
        float | None,
        typer.Option(
            "--target-qps", help="Server scenario: queries a second.", show_default="the highest that meets the bound"
        ),
    ] = None,
    latency_bound: Annotated[
        float, typer.Option("--latency-bound", help="Server scenario: what the 99th percentile must meet, in ms.")
    ] = 100.0,
    log_dir: Annotated[
        Path, typer.Option("--log-dir", help="Where LoadGen's logs are kept, in a folder a run.")
    ] = Path("mlperf_logs"),
    read: Annotated[
        Path | None,
        typer.Option(
            "--read", metavar="FILE", help="Print the records of a JSON file, measuring nothing.", show_default=False
        ),
    ] = None,
    compare: Annotated[
        tuple[Path, Path] | None,
        typer.Option(
            "--compare", metavar="A B", help="Compare two JSON files of records, measuring nothing.", show_default=False
        ),
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            "--save", metavar="FILE", help="Also save profiles, for endpoint and simulator.", show_default=False
        ),
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(
            "--plot", metavar="FILE", help="Also draw the distributions (.png, .svg, .pdf).", show_default=False
        ),
    ] = None,
    runtime: RuntimeName = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Measure how long models take, each in a process of its own, and say whether the figures can be trusted.

    What is timed: the inference, its input copied in and its output copied out; with --image also decoding. Ctrl-C
    ends the measuring and prints what there is.
    """
    _check(bool(models), read, compare, save or plot, target_qps if scenario != "server" else None)
    if compare is not None:
        _compare(*compare, form)
        return
    _check_plot(plot)
    if read is not None:
        _report(_read(read), form, save, plot)
        return
    from ondevice.bench.spec import Spec

    runs = _runs(runs, scenario)
    base = Spec(
        model="",
        runtime=runtime,
        device=device,
        warmup=warmup,
        runs=runs,
        min_secs=min_secs,
        interval_ms=interval,
        images=_pictures(image),
        scaled_decode=scaled_decode,
        scenario=_mlperf(scenario, runs, min_secs, target_qps, latency_bound, log_dir),
    )
    specs = [replace(base, model=model, threads=count) for model in models or () for count in _threads(threads)]
    records, status = _measure(specs, _limits(cpus, cpu_quota, memory))
    _report(records, form, save, plot)
    if status == 130:
        raise KeyboardInterrupt
    if status:
        raise typer.Exit(status)


def _check(
    measuring: bool, read: Path | None, compare: tuple[Path, Path] | None, output: Path | None, stray_qps: float | None
) -> None:
    if sum((measuring, read is not None, compare is not None)) != 1:
        raise UsageError("give either models to measure, or --read FILE, or --compare A B")
    if compare is not None and output is not None:
        raise UsageError("--compare prints a table: leave --save and --plot out")
    if stray_qps is not None:
        raise UsageError("--target-qps is for --scenario server")


def _threads(text: str | None) -> list[int | None]:
    from ondevice.limits.threads import parse_threads

    return [None] if text is None else [*parse_threads(text)]


def _limits(cpus: str | None, cpu_quota: str | None, memory: str | None) -> Limits:
    from ondevice.limits.affinity import parse_cpus
    from ondevice.limits.limits import Limits
    from ondevice.limits.quota import parse_quota

    return Limits(
        None if cpus is None else parse_cpus(cpus),
        None if cpu_quota is None else parse_quota(cpu_quota),
        None if memory is None else size_bytes("--memory", memory),
    )


def _pictures(arguments: list[str] | None) -> tuple[str, ...]:
    if not arguments:
        return ()
    with naming("--image"):
        return expanded(arguments)


def _mlperf(
    scenario: str | None, runs: int, min_secs: float, target_qps: float | None, latency_bound: float, log_dir: Path
) -> dict[str, Any] | None:
    if scenario is None:
        return None
    from ondevice import extras
    from ondevice.bench import mlperf

    settings = mlperf.ScenarioSettings(scenario, runs, min_secs, target_qps, latency_bound)
    extras.require("mlperf", "an MLPerf scenario")
    return {**console.as_record(settings), "log_dir": str(log_dir)}


def _measure(specs: list[Spec], limits: Limits) -> tuple[list[BenchRecord], int]:
    """All records, and the exit status: 1 where one could not be measured, 130 where Ctrl-C or SIGTERM came."""
    from ondevice.bench.measure import measure

    # A polite kill must take the control group away too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    records: list[BenchRecord] = []
    status = 0
    for number, spec in enumerate(specs, 1):
        try:
            with console.progress(max(spec.runs, 2), f"{spec.model}, {_count(spec.threads or 1)}") as step:
                records.append(measure(spec, limits, step, console.error))
            _warn(records[-1])
        except KeyboardInterrupt as interrupt:
            partial = getattr(interrupt, "record", None)
            return records + ([partial] if partial else []), 130
        except OnDeviceError as error:
            if number == len(specs) and not records:
                raise
            console.error(str(error))
            status = 1
    return records, status


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


def _report(records: list[BenchRecord], form: Format, save: Path | None, plot: Path | None) -> None:
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
    if save is not None:
        _save(records, save)
    if plot is not None:
        from ondevice.bench.plot import distributions

        distributions(records, plot)
        console.note(f"drawn: {plot}")


def _save(records: list[BenchRecord], path: Path) -> None:
    from ondevice.models import files
    from ondevice.timing import profile

    profiles = [
        profile.Profile.of(r.model, r.samples_ms, r.device, r.runtime, r.num_threads) for r in records if r.num_runs > 1
    ]
    try:
        with files.replacing(path) as out:
            out.write(profile.dumps(profiles).encode())
    except OSError as error:
        raise files.explain(error, path) from error
    console.note(f"saved: {path}")


def _compare(a: Path, b: Path, form: Format) -> None:
    from ondevice.bench import table

    console.emit(table.compared(_read(a), _read(b)), form, ".3f")


def _runs(wanted: int | None, scenario: str | None) -> int:
    usual = 50 if scenario is None else 1024
    return usual if wanted is None else wanted


def _check_plot(path: Path | None) -> None:
    if path is None:
        return
    from ondevice import extras
    from ondevice.bench import plot

    extras.require("lab", "--plot")
    plot.check(path)
