"""What a worker could not do, there and back."""

from __future__ import annotations

import pytest

from ondevice.cloud.backends.workers import failures
from ondevice.errors import (
    ImageError,
    MissingError,
    ModelError,
    ModelFaultError,
    ModelLoadError,
    OnDeviceError,
    PictureMemoryError,
    UnknownModelError,
)


@pytest.mark.parametrize(
    ("error", "read"),
    [
        (PictureMemoryError("why", None), PictureMemoryError),
        (ImageError("why", None), ImageError),
        (ModelLoadError("why", "m"), ModelLoadError),
        (ModelFaultError("why", "m"), ModelFaultError),
        (UnknownModelError("why", "m"), ModelError),
        (MissingError("why", "litert"), ModelError),
    ],
)
def test_an_error_arrives_as_what_it_is(error: OnDeviceError, read: type[OnDeviceError]) -> None:
    arrived = failures.read(failures.told(error))
    assert (type(arrived), str(arrived)) == (read, "why")


def test_a_reply_without_one_is_no_error() -> None:
    assert failures.read({"top": []}) is None
