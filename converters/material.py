"""What a network is converted with: its classes' names, pictures to calibrate on, and pictures to check with."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ondevice.converters import pictures
from ondevice.converters.job import RANDOM, ConversionJob
from ondevice.converters.pictures import Images
from ondevice.dataset.labelled import labelled
from ondevice.errors import CardError, UnlabelledError, UsageError
from ondevice.models import files, labels
from ondevice.models.card import Input
from ondevice.models.description import crop_of
from ondevice.models.labels import Labels

# Noise tells whether two networks compute the same, not how good they are: a few pictures show that.
_NOISE = 16
# The 95 % interval of an agreement is then within 3 %, less than what lies between a good file and a broken one.
_MAX_CHECKED = 1000


class Calibration(NamedTuple):
    """Pictures whose activations set the ranges of an int8 file; files: the real paths of those that are not random."""

    images: Images
    files: frozenset[str]
    description: str


class Checked(NamedTuple):
    """Pictures on which files are compared with the source; truth: their outputs' numbers [n], where they are known."""

    images: Images
    truth: NDArray[np.int64] | None
    description: str
    is_noise: bool = False


class Material(NamedTuple):
    """All that a job brings beside its network.

    background: whether output 0 is a background class that `labels` does not have. calibration: None where no precision
    needs it.
    """

    labels: Labels
    background: bool
    calibration: Calibration | None
    checked: Checked


def check(job: ConversionJob) -> None:
    """Raise UsageError or CardError for what `gather` would not find, or read, before the network is known."""
    if job.labels:
        labels.load(job.labels)
    if job.calibration in ("", RANDOM):
        calibrated_on: Collection[str] = ()
    else:
        paths, _ = pictures.listed(job.calibration, "--calibration")
        taken = pictures.even(paths, job.calibration_size, job.seed) if "int8" in job.precisions else ()
        calibrated_on = frozenset(map(os.path.realpath, taken))
    _left_to_check(job, calibrated_on)


def gather(job: ConversionJob, wanted: Input, classes: int, on_note: Callable[[str], None]) -> Material:
    """The material of a job whose network takes `wanted` and has so many classes.

    Tells `on_note` of files that are passed over. Raises UsageError, CardError.
    """
    names, background = class_names(job, classes, on_note)
    calibration = _calibration(job, wanted, on_note) if "int8" in job.precisions else None
    calibrated_on = calibration.files if calibration else ()
    checked = _checked(job, wanted, names, calibrated_on, on_note)
    if background and checked.truth is not None:
        checked = checked._replace(truth=checked.truth + 1)
    return Material(names, background, calibration, checked)


def class_names(
    job: ConversionJob, classes: int, on_note: Callable[[str], None] = lambda text: None
) -> tuple[Labels, bool]:
    """The names of the network's classes, and whether its first is a background class, which has none.

    Without a list of the job's they are those of the label file beside its source, or else ImageNet's, where it has as
    many. Tells `on_note` of that file, and why it is not taken. Raises UsageError where the job's list has more names
    or fewer, CardError.
    """
    if job.labels:
        return labels.fitted(labels.load(job.labels), classes, model=job.stem)
    beside = _labels_beside(files.expanded(job.source))
    if beside is not None:
        try:
            fitted = labels.fitted(labels.load(str(beside)), classes, model=job.stem)
        except (CardError, UsageError) as error:
            on_note(f"{beside} is not used: {error}")
        else:
            on_note(f"labels: {beside}; --labels takes others")
            return fitted
    return labels.fitted(labels.assumed(classes), classes, model=job.stem)


def cropped(job: ConversionJob, wanted: Input, classes: int) -> Input:
    """The input of a network from a file, with the crop that its classes have by convention unless the job says one.

    Raises as `class_names`.
    """
    if job.crop is not None:
        return wanted
    names, _ = class_names(job, classes)
    return replace(wanted, crop=crop_of(names))


def _labels_beside(source: Path) -> Path | None:
    """The label file beside a network's file or folder, or in that folder; none for an architecture's name."""
    if not source.exists():
        return None
    inside = labels.beside(source / "saved_model.pb") if source.is_dir() else None
    return inside or labels.beside(source)


def _calibration(job: ConversionJob, wanted: Input, on_note: Callable[[str], None]) -> Calibration:
    if job.calibration == RANDOM:
        images = pictures.noise(job.calibration_size, wanted, job.seed)
        return Calibration(images, frozenset(), f"{len(images)} random images: for latency, not for answers")
    paths, skipped = pictures.listed(job.calibration, "--calibration")
    loaded = pictures.load(pictures.even(paths, job.calibration_size, job.seed), wanted)
    if skipped + loaded.unreadable:
        on_note(f"--calibration: {skipped + loaded.unreadable} files that are not pictures skipped")
    description = f"{len(loaded.images)} pictures of {Path(job.calibration).name}, seed {job.seed}"
    return Calibration(loaded.images, frozenset(map(os.path.realpath, loaded.paths)), description)


def _checked(
    job: ConversionJob, wanted: Input, names: Labels, calibrated_on: Collection[str], on_note: Callable[[str], None]
) -> Checked:
    rest = _left_to_check(job, calibrated_on)
    if not rest:
        return Checked(pictures.noise(_NOISE, wanted, job.seed + 1), None, f"{_NOISE} noise images", is_noise=True)
    folder = Path(_check_folder(job))
    class_of = _class_of(folder, names, _check_flag(job), on_note)
    known = [path for path in rest if path in class_of]
    loaded = pictures.load(pictures.even(known or rest, _MAX_CHECKED, job.seed), wanted)
    truth = np.array([class_of[path] for path in loaded.paths]) if known else None
    return Checked(loaded.images, truth, f"{len(loaded.paths)} pictures of {folder.name} not calibrated on")


def _check_folder(job: ConversionJob) -> str:
    return job.check or (job.calibration if job.calibration != RANDOM else "")


def _check_flag(job: ConversionJob) -> str:
    return "--check" if job.check else "--calibration"


def _left_to_check(job: ConversionJob, calibrated_on: Collection[str]) -> list[str]:
    """The pictures to check with; none where the job has none. Raises UsageError where all are calibrated on."""
    folder = _check_folder(job)
    if not folder:
        return []
    paths, _ = pictures.listed(folder, _check_flag(job))
    rest = [path for path in paths if os.path.realpath(path) not in calibrated_on]
    if not rest:
        raise UsageError(
            f"{folder}: all {len(paths)} pictures are calibrated on, none is left to check with: "
            "give --check DIR, or a smaller --calibration-size"
        )
    return rest


def _class_of(folder: Path, names: Labels, flag: str, on_note: Callable[[str], None]) -> dict[str, int]:
    """The class of each labelled picture; empty where none is: others are good enough for comparing."""
    try:
        data = labelled(folder, names)
    except UnlabelledError:
        return {}
    except UsageError as error:
        on_note(f"{flag}: top-1 is not counted: {error}")
        return {}
    for note in data.notes:
        on_note(f"{flag}: {note}")
    return dict(zip(data.paths, data.truth, strict=True))
