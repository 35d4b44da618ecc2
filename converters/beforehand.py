"""What can be told of conversions before they are begun: in the first second, without TensorFlow."""

from __future__ import annotations

import os
from pathlib import Path

from ondevice.converters import material
from ondevice.converters.architectures import catalogue
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources.opening import extra, is_architecture
from ondevice.errors import OnDeviceError, UsageError


def check(jobs: list[ConversionJob]) -> None:
    """Raise UsageError or CardError for what concerns the jobs together.

    That is two of one name, a file that would be overwritten, a folder that cannot be written to, and pictures and
    labels that are not there.
    """
    stems = [job.stem for job in jobs]
    if twice := {stem for stem in stems if stems.count(stem) > 1}:
        raise UsageError(f"two sources are called '{min(twice)}': give one of them another --name")
    for job in jobs:
        for precision in () if job.force else job.precisions:
            if job.path(precision).exists():
                raise UsageError(
                    f"{job.path(precision)} is there already: give --force to replace it, or another --out"
                )
    for out in {job.out for job in jobs}:
        _check_folder(Path(out))
    for job in {(j.labels, j.calibration, j.calibration_size, j.precisions, j.check, j.seed): j for j in jobs}.values():
        material.check(job)


def refusal(job: ConversionJob) -> OnDeviceError | None:
    """Why one job cannot be begun: its source, its weights, or names that are not as many as its classes."""
    try:
        known = is_architecture(job)
        job.check_name()
        if known:
            material.class_names(job, catalogue.CLASSES)
    except OnDeviceError as error:
        return error
    return None


def extras(jobs: list[ConversionJob]) -> list[tuple[str, ...]]:
    """The extras that the jobs which can be begun take, each before the distributions that they need of it.

    Of jobs that cannot be begun, the reason is told without them.
    """
    return sorted({extra(job.source) for job in jobs if refusal(job) is None})


def _check_folder(out: Path) -> None:
    """Raise UsageError for a folder that cannot be made, or written to."""
    nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise UsageError(f"--out {out}: {nearest} is a file: give a folder")
    if not os.access(nearest, os.W_OK | os.X_OK):
        raise UsageError(f"--out {out}: folder '{nearest}' may not be written to; give another one")
