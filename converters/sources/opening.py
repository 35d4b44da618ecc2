"""Which way a source comes, told by its name and its first bytes, and the network in it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from ondevice import words
from ondevice.converters.architectures import catalogue
from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources import exported, factory
from ondevice.converters.sources.architecture import check_weights, from_architecture
from ondevice.converters.sources.keras_file import from_keras_file
from ondevice.converters.sources.saved_model import from_saved_model
from ondevice.converters.sources.source import Source
from ondevice.errors import UsageError
from ondevice.models import files
from ondevice.models.kinds import FileKind, Form

_FORMS = "a .keras file, .h5 file, SavedModel folder or .pt2 file"
# The only suffixes by which Keras knows its two kinds of file, and PyTorch its programs.
_SUFFIXES = {Form.KERAS: ".keras", Form.HDF5: ".h5", Form.EXPORTED: ".pt2"}
# How names of files end, and architectures' do not: those have digits behind a dot, if they have one.
_SUFFIX = re.compile(r"\.[A-Za-z]\w*")


def open_source(job: ConversionJob) -> Source:
    """The source of a job. Raises UsageError, ConvertError."""
    return way(job)(job)


def way(job: ConversionJob) -> Callable[[ConversionJob], Source]:
    """What opens the source of a job; neither TensorFlow nor PyTorch is needed to tell.

    Raises UsageError, with what to type next, for what is not a source, weights that are not there, and a signature
    where there are none.
    """
    path = files.expanded(job.source)
    kind = _kind(path) if path.exists() else None
    if job.signature and (kind is None or kind.form is not Form.SAVED_MODEL):
        raise UsageError(f"--signature is of SavedModel folders, and {job.source} is not one")
    if kind is None and factory.is_factory(job.source):
        factory.check(job)
        return factory.from_factory
    if kind is None:
        _check_name(job.source, path)
        check_weights(job)
        return _from_architecture
    if kind.form is Form.EXPORTED:
        exported.check(path)
        return lambda job: exported.from_exported(path, job)
    if kind.form is Form.SAVED_MODEL:
        return lambda job: from_saved_model(path, _seeded(job))
    return lambda job: from_keras_file(path, _seeded(job))


def is_architecture(job: ConversionJob) -> bool:
    """Whether the source of a job that `way` has passed is an architecture's name."""
    return way(job) is _from_architecture


def extra(source: str) -> tuple[str, ...]:
    """The extra that converting a source takes, by what its network runs in, and what is needed of it where not all."""
    path = Path(source).expanduser()
    kind = FileKind.read(path) if path.exists() else None
    of_torch = kind.form is Form.EXPORTED if kind else factory.is_factory(source)
    return ("torch",) if of_torch else ("convert", "tensorflow", "ai-edge-quantizer")


def _from_architecture(job: ConversionJob) -> Source:
    return from_architecture(_seeded(job))


def _seeded(job: ConversionJob) -> ConversionJob:
    """The job, after TensorFlow has its seed."""
    tensorflow().keras.utils.set_random_seed(job.seed)
    return job


def _check_name(source: str, path: Path) -> None:
    if len(path.parts) > 1 or _SUFFIX.fullmatch(path.suffix):
        raise UsageError(f"{path}: no such file")
    catalogue.find(source)


def _kind(path: Path) -> FileKind:
    """What lies at the path, if it can be converted as it is. Raises UsageError."""
    try:
        kind = FileKind.read(path)
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {words.reason(error)}") from error
    if kind is None:
        raise UsageError(f"{path}: not {_FORMS}")
    if kind.form is Form.FOLDER:
        raise UsageError(f"{path}: a folder without saved_model.pb: give {_inside(path) or _FORMS}")
    weights_alone = path.name.endswith(".weights.h5")
    if not kind.convertible or weights_alone or path.suffix != _SUFFIXES.get(kind.form, path.suffix):
        raise UsageError(f"{path} is {kind.what}: {kind.todo}")
    return kind


def _inside(path: Path) -> str:
    """The SavedModel that lies in a folder, as servers have it under its version's number; empty for none."""
    return next((str(found.parent) for found in sorted(path.glob("*/saved_model.pb"))), "")
