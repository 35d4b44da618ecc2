"""Pictures as they may be sent: what each takes in bytes, and which model is right on it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ondevice import Runner
from ondevice.cli import console
from ondevice.lab.simulate.upload_table import SCALED, UploadTable
from ondevice.timing.arrays import FloatArray
from ondevice.upload import compressed


class Photos(NamedTuple):
    """The pictures and their classes."""

    paths: Sequence[str]
    truth: Sequence[int]


class Sendable:
    """models: their files. table: what may be sent; crop: the share of a picture that the ladder's rungs show of it."""

    def __init__(self, models: Sequence[Path], photos: Photos, table: UploadTable, crop: float) -> None:
        with console.quiet_runtime():
            self._runners = {runner.name: runner for runner in map(Runner, models)}
        self.photos, self.table, self._crop = photos, table, crop
        self._body, self.right = cache(self._made), cache(self._looked)

    @cached_property
    def sizes_bytes(self) -> FloatArray:
        """The bytes of each photo as each upload, [n, k]."""
        count, uploads = len(self.photos.paths), range(len(self.table))
        return np.array([[len(self._body(photo, upload)) for upload in uploads] for photo in range(count)], float)

    def _made(self, photo: int, upload: int) -> bytes:
        """A photo as it is sent."""
        path, rung = self.photos.paths[photo], self.table.rungs[upload]
        return compressed(path, rung, self._shown(upload)) if rung else Path(path).read_bytes()

    def _looked(self, model: str, photo: int, upload: int) -> bool:
        """Whether a model is right on a photo as it is sent."""
        runner = self._runners[model]
        stored = runner.model.invoke(runner.prepare(self._body(photo, upload), self._shown(upload)))
        return runner.best(stored, 1)[0].index == self.photos.truth[photo]

    def _shown(self, upload: int) -> float:
        """The share of the shorter side that an upload shows: 0.1.0's, and the file, all of it."""
        whole = self.table.names[upload] == SCALED or self.table.rungs[upload] is None
        return 1.0 if whole else self._crop
