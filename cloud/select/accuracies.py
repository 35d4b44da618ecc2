"""The accuracies of some models, whatever was made of a picture before it was sent."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from ondevice.cloud.select.uploads import OfferedUploads
from ondevice.protocol.rung import Rung
from ondevice.protocol.served import ServedModel
from ondevice.timing.arrays import FloatArray

# As of uploads so many are remembered.
_KEPT = 256


class Accuracies:
    """Of m models. uploads: what these leave of each; None: all, whatever was sent."""

    def __init__(self, models: Sequence[ServedModel], uploads: OfferedUploads | None = None) -> None:
        self._names, self._uploads = [served.name for served in models], uploads
        self._of_files = np.array([served.top1 or 0.0 for served in models])
        self._on = lru_cache(_KEPT)(self._worked_out)

    def on(self, upload: Rung | None) -> FloatArray:
        """The accuracies [m] on what was sent; None: on pictures as they are. What nobody measured counts as 0."""
        return self._on(upload)

    def _worked_out(self, upload: Rung | None) -> FloatArray:
        if upload is None or self._uploads is None:
            return self._of_files
        kept = self._uploads.kept(upload)
        left: FloatArray = self._of_files * [kept.get(name, 1.0) for name in self._names]
        return left

    def expected(self, served: ServedModel, upload: Rung | None) -> float | None:
        """The accuracy of one model on what was sent; None where nobody measured any."""
        if upload is None or self._uploads is None or served.top1 is None:
            return served.top1
        return round(served.top1 * self._uploads.kept(upload).get(served.name, 1.0), 4)
