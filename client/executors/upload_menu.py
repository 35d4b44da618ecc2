"""What may be sent of a picture, among which is chosen."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np

from ondevice.client.endpoint.description import UploadForecast
from ondevice.client.executors.compression_times import CompressionTimes, detail_of, share_of
from ondevice.client.network import NetworkEstimates
from ondevice.client.picture import Picture, Upload
from ondevice.client.upload_choice import UploadChoice, UploadMode
from ondevice.protocol.rung import Rung
from ondevice.selection.ladder import UploadLadder, usual_bytes
from ondevice.timing.arrays import FloatArray

# Without a ladder: a scaled picture must be expected so much sooner there, for scaling costs some accuracy, and the
# estimate is that rough.
_MIN_GAIN_MS = 2.0
# What scaled pictures are sent as: at 90 JPEG's own loss is small beside that of scaling. Models look at no less than
# this share of the shorter side: the usual centre crop.
SCALED_QUALITY, _CROP = 90, 0.875
# Of a picture whose file is not known: a photo of some 500 x 375 pixels.
_SIZE_BYTES = 100_000
_WHOLE = np.ones((1, 1))


class UploadQuestion(NamedTuple):
    """For what an upload is chosen. within_ms: the time that there is. device_top1: the accuracy in reserve."""

    endpoint: UploadForecast
    picture: Picture
    within_ms: float
    device_top1: float


class Menu(NamedTuple):
    """What may be sent of a picture: u choices, their sizes, bytes [u], and what they leave of the models' accuracies,
    [u, m], or [1, 1] where that is all of it. The choices' own sizes are those of a usual picture.
    """

    choices: tuple[UploadChoice, ...]
    size_bytes: FloatArray
    kept: FloatArray

    @classmethod
    def alone(cls, choice: UploadChoice) -> Menu:
        """Nothing else."""
        return cls((choice,), np.array([choice.size_bytes]), _WHOLE)

    def choice(self, number: int) -> UploadChoice:
        """One of them, with the size to expect of this picture."""
        return self.choices[number]._replace(size_bytes=float(self.size_bytes[number]))

    def with_file(self, file: UploadChoice) -> Menu:
        """The file besides, which is all of the picture."""
        kept = np.concatenate([self.kept, np.ones((1, self.kept.shape[1]))])
        return Menu((*self.choices, file), np.append(self.size_bytes, file.size_bytes), kept)


class UploadMenus:
    """mode: what may be sent; a rung: that alone. compression: what making it takes, and how large it becomes."""

    def __init__(self, network: NetworkEstimates, mode: UploadMode | Rung, compression: CompressionTimes) -> None:
        self._network, self._mode, self._compression = network, mode, compression
        # Of one endpoint; or of two, as after a restart with other models.
        self._rungs = lru_cache(2)(partial(_usual, compression))

    def of(self, question: UploadQuestion, made: Upload | None = None) -> Menu:
        """Of one picture. made: a rung that was made already, which tells this picture's sizes."""
        if not (ladder := self._ladder(question.endpoint)):
            return Menu.alone(self._only(question))
        usual, detail = self._rungs(ladder), self._detail(ladder, made)
        shares = [share_of(choice.rung, detail) for choice in usual.choices if choice.rung]
        rungs = usual._replace(size_bytes=usual.size_bytes * shares)
        return rungs if _has_no_file(question.picture) else rungs.with_file(_file(question.picture))

    def file_in_time(self, question: UploadQuestion) -> UploadChoice | None:
        """The file, where it is expected to be in time, and is not all that may be sent; else None."""
        if self._ladder(question.endpoint) is None or _has_no_file(question.picture):
            return None
        file = _file(question.picture)
        return file if self._network.way_ms(file.size_bytes) <= question.within_ms else None

    def most_top1_of_others(self, endpoint: UploadForecast) -> float:
        """The accuracy of the best model on the best of all but the file; 0 where there is nothing else."""
        ladder = self._ladder(endpoint)
        return float((endpoint.top1 * self._rungs(ladder).kept).max(initial=0.0)) if ladder else 0.0

    def scaled(self, side: int) -> UploadChoice:
        """All of the picture, scaled to that of a model with this input side."""
        return self._of(scaled_rung(side))

    def making_ms(self, choice: UploadChoice) -> float:
        """What making it takes."""
        return self._compression.expect_ms(choice.rung) if choice.rung else 0.0

    def _ladder(self, endpoint: UploadForecast) -> UploadLadder | None:
        """That among which is chosen; None: there is only one upload."""
        return endpoint.ladder if self._mode is UploadMode.AUTO and endpoint.side else None

    def _only(self, question: UploadQuestion) -> UploadChoice:
        endpoint, file = question.endpoint, _file(question.picture)
        if isinstance(self._mode, Rung):
            ladder = endpoint.ladder
            return self._of(self._mode)._replace(crop=ladder.crop if ladder else 1.0, told=ladder is not None)
        if self._mode is UploadMode.FILE or not endpoint.side:
            return file
        scaled = self.scaled(endpoint.side)
        return scaled if _has_no_file(question.picture) or self._sooner(scaled, file) else file

    def _detail(self, ladder: UploadLadder, made: Upload | None) -> float:
        """That of this picture, or else of those before it."""
        if made is None or made.rung not in ladder.rungs:
            return self._compression.detail
        return detail_of(made.rung, len(made.body) / float(ladder.size_bytes[ladder.rungs.index(made.rung)]))

    def _of(self, rung: Rung) -> UploadChoice:
        """All of the picture as that."""
        usual = usual_bytes(rung)
        return UploadChoice(rung, usual * share_of(rung, self._compression.detail), usual)

    def _sooner(self, scaled: UploadChoice, file: UploadChoice) -> bool:
        sending_ms = [self._network.sending_ms(round(choice.size_bytes)) for choice in (scaled, file)]
        return sending_ms[0] + self.making_ms(scaled) + _MIN_GAIN_MS < sending_ms[1]


def scaled_rung(side: int) -> Rung:
    """What a whole picture is scaled to, so that a model of this input side loses nothing to the usual centre crop."""
    return Rung(math.ceil(side / _CROP), SCALED_QUALITY)


def _usual(compression: CompressionTimes, ladder: UploadLadder) -> Menu:
    """Those rungs that can be made here, of a usual picture."""
    rows = [row for row, rung in enumerate(ladder.rungs) if compression.knows(rung)]
    choices = tuple(
        UploadChoice(ladder.rungs[row], size, size, ladder.crop, told=True)
        for row, size in zip(rows, ladder.size_bytes[rows].tolist(), strict=True)
    )
    return Menu(choices, ladder.size_bytes[rows], ladder.kept[rows])


def _has_no_file(picture: Picture) -> bool:
    return picture.loaded and picture.file is None


def _file(picture: Picture) -> UploadChoice:
    file = picture.file if picture.loaded else None
    return UploadChoice(None, float(len(file) if file else _SIZE_BYTES))
