"""`ondevice bench`: how long models take."""

from __future__ import annotations

import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console, described
from ondevice.cli.bench_flags import LimitFlags, RecordFlags, RunFlags, ScenarioFlags
from ondevice.cli.commands import grouped
from ondevice.cli.console import Format
from ondevice.cli.options import DescriptionFlags, DeviceName, OutputFormat, RuntimeName
from ondevice.errors import OnDeviceError

if TYPE_CHECKING:
    from ondevice.bench.record import BenchRecord
    from ondevice.bench.spec import Spec
    from ondevice.bench.subject import AnyFile
    from ondevice.limits.limits import Limits
    from ondevice.runner import Resolved

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL...", help="Names from `ondevice models list`, or paths to any .tflite.", show_default=False
    ),
]


@grouped
def bench(
    models: Models = None,
    *,
    run: RunFlags,
    limit: LimitFlags,
    said: DescriptionFlags,
    device: DeviceName = None,
    drive: ScenarioFlags,
    files: RecordFlags,
    runtime: RuntimeName = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Measure how long models take, each in a process of its own, and say whether the figures can be trusted.

    What is timed: the inference, its input copied in and its output copied out; with --image also decoding. A file that
    is not an image classifier gets random input of its own shapes and types. Ctrl-C ends the measuring and prints what
    there is.
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
        base = run.spec(runtime=runtime, device=device, runs=runs, scenario=scenario, overrides=said.overrides())
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
    tell = _telling_once()
    for number, spec in enumerate(specs, 1):
        try:
            with console.progress(max(spec.runs, 2), f"{spec.model}, {_count(spec.threads or 1)}") as step:
                records.append(measure(spec, limits, step, console.error, console.note, tell))
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


def _telling_once() -> Callable[[Resolved | AnyFile], None]:
    """Notes what is known of a model, and what was taken for granted, before the first measurement of it."""
    from ondevice.runner import Resolved

    told: set[Path] = set()

    def tell(found: Resolved | AnyFile) -> None:
        if found.path in told:
            return
        told.add(found.path)
        if isinstance(found, Resolved):
            described.tell(found.path, found.entry, found.description)
        else:
            for note in found.notes:
                console.note(note)

    return tell


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
