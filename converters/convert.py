"""Convert networks, each in a process of its own: its crash, or its hunger for memory, costs that one alone."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

from ondevice import records
from ondevice.bench.measure import measure
from ondevice.bench.spec import Spec
from ondevice.converters import beforehand
from ondevice.converters.architectures import catalogue, frontier
from ondevice.converters.job import ConversionJob, ConversionResult
from ondevice.converters.sources import factory
from ondevice.errors import ConvertError, OnDeviceError, UsageError
from ondevice.models import files
from ondevice.process import child, messages

OnText = Callable[[str], None]


@dataclass(frozen=True)
class Converted:
    """What became of one job: a row for the source and each file, the peak memory, or the error that it ended with."""

    job: ConversionJob
    results: tuple[ConversionResult, ...] = ()
    peak_bytes: int | None = None
    error: OnDeviceError | None = None


# Each takes a core and 2 to 8 GB (docs/converting.md): more is a slip of the finger on any machine that there is.
_MOST_AT_ONCE = 64


def convert(jobs: list[ConversionJob], at_once: int, on_stage: OnText, on_note: OnText) -> Iterator[Converted]:
    """Run the jobs, `at_once` at a time; gives what became of each: of those that cannot be begun first, else in order.

    Raises UsageError and CardError as `beforehand.check`.
    """
    if not 1 <= at_once <= _MOST_AT_ONCE:
        raise UsageError(f"from 1 to {_MOST_AT_ONCE} networks can be converted at once, not {at_once}")
    beforehand.check(jobs)
    refusals = [beforehand.refusal(job) for job in jobs]
    yield from (Converted(job, error=error) for job, error in zip(jobs, refusals, strict=True) if error)
    begun = [job for job, error in zip(jobs, refusals, strict=True) if not error]
    pool = ThreadPoolExecutor(at_once)
    try:
        yield from pool.map(lambda job: _convert_one(job, on_stage, on_note), begun)
    finally:
        _stop(pool, begun)


_running: set[child.Child] = set()


def _stop(pool: ThreadPoolExecutor, jobs: list[ConversionJob]) -> None:
    """After Ctrl-C: end what runs, and take away what it had begun to write."""
    pool.shutdown(wait=False, cancel_futures=True)
    for running in list(_running):
        running.kill()
    pool.shutdown(wait=True)
    for job in jobs:
        for precision in job.precisions:
            path = job.path(precision)
            files.sweep(path.parent, path.stem)  # the file, its card, its labels


def _convert_one(job: ConversionJob, on_stage: OnText, on_note: OnText) -> Converted:
    log = files.cache_dir() / "logs" / f"convert-{job.stem}-{os.getpid()}.log"
    try:
        log.parent.mkdir(parents=True, exist_ok=True)
        # Its temporary files are ours to remove: a process that is killed cannot.
        with log.open("w+b") as file, tempfile.TemporaryDirectory() as folder:
            converted = _in_child(job, file, folder, on_stage, on_note)
    except OSError as error:
        return Converted(job, error=files.explain(error, log))
    if isinstance(converted.error, ConvertError):
        return replace(converted, error=ConvertError(f"{converted.error}; the log: {log}"))
    log.unlink(missing_ok=True)
    return converted


def _in_child(job: ConversionJob, log: IO[bytes], folder: str, on_stage: OnText, on_note: OnText) -> Converted:
    results: list[ConversionResult] = []
    environment = {"TMPDIR": folder, "TF_CPP_MIN_LOG_LEVEL": "0"}
    with child.start("ondevice.converters.worker", log=log, piped=True, environment=environment) as process:
        _running.add(process)
        try:
            for message in messages.ask(process, job.as_dict()):
                kind = message.pop("kind")
                if kind == "result":
                    results.append(records.read(ConversionResult, message))
                elif kind == "done":
                    return Converted(job, tuple(results), message["peak_bytes"])
                elif kind == "error":
                    error = (UsageError if message["usage"] else ConvertError)(message["message"])
                    return _ended(job, results, error)
                else:
                    {"stage": on_stage, "note": on_note}[kind](message["text"])
            return _ended(job, results, ConvertError(f"{job.stem}: the converting process died {process.death()}"))
        finally:
            _running.discard(process)


def _ended(job: ConversionJob, results: list[ConversionResult], error: OnDeviceError) -> Converted:
    """The error, with the rows of what is in place already; the source's row alone says nothing."""
    return Converted(job, tuple(results) if len(results) > 1 else (), error=error)


def with_latency(converted: Converted, on_stage: OnText) -> Converted:
    """Add each file's median latency on one thread here; measured apart, so that no other conversion disturbs it."""
    results = []
    for result in converted.results:
        if result.path and not result.failed:
            on_stage(f"{result.model}: timing {result.precision}")
            result = _timed(result)
        results.append(result)
    return replace(converted, results=tuple(results))


def _timed(result: ConversionResult) -> ConversionResult:
    try:
        record = measure(Spec(result.path, min_secs=0.5))
    except OnDeviceError as error:  # the file is in place, and the rest of the table stands
        return replace(result, latency_verdict=f"not timed: {error}")
    return replace(result, latency_ms=record.summary.p50_ms, latency_verdict=record.verdict)


# The sources of each zoo: the networks of the CNNSelect paper's simulations, and what has come since 2019.
ZOOS = {"paper": catalogue.PAPER, "torch": frontier.SOURCES}


def weights_of(source: str, weights: str) -> str:
    """The weights file of a source where `weights` is a folder: `<source>.weights.h5`; else `weights` itself.

    Of a function that builds a PyTorch network it is `<function>.pt`; what it builds has weights of its own.
    """
    if factory.is_factory(source) and not factory.is_library(source) and weights == "imagenet":
        return ""
    folder = Path(weights)
    if not folder.is_dir():
        return weights
    name, suffixes = source.rpartition(":")[2], _OF_TORCH if factory.is_factory(source) else _OF_KERAS
    for suffix in suffixes:
        if (folder / f"{name}{suffix}").is_file():
            return str(folder / f"{name}{suffix}")
    raise UsageError(f"--weights {folder}: it has no {name}{suffixes[0]}")


_OF_KERAS, _OF_TORCH = (".weights.h5", ".h5", ".keras"), (".pt", ".pth")
