"""Which way a source comes, and the network in it."""

from __future__ import annotations

from pathlib import Path

from ondevice.converters.architectures import catalogue
from ondevice.converters.export import tensorflow
from ondevice.converters.job import ConversionJob
from ondevice.converters.sources.architecture import from_architecture
from ondevice.converters.sources.keras_file import from_keras_file
from ondevice.converters.sources.saved_model import from_saved_model
from ondevice.converters.sources.source import Source
from ondevice.errors import UsageError

_KERAS = (".keras", ".h5")


def open_source(job: ConversionJob) -> Source:
    """The source of a job. Raises UsageError, ConvertError."""
    path = Path(job.source).expanduser()
    if not path.exists() and path.suffix not in _KERAS:
        catalogue.find(job.source)  # a name that is none is told at once: TensorFlow takes seconds to import
    tensorflow().keras.utils.set_random_seed(job.seed)
    if path.is_dir():
        return from_saved_model(path, job)
    if path.suffix in _KERAS:
        return from_keras_file(path, job)
    if path.exists():
        raise UsageError(f"{path}: not a .keras file, .h5 file or SavedModel folder")
    return from_architecture(job)
