"""What is sent of each picture: its file, or only so much of it as is worth its time."""

from __future__ import annotations

import math
from functools import lru_cache
from time import perf_counter
from typing import NamedTuple

import numpy as np

from ondevice.client.endpoint.description import Aside, UploadForecast
from ondevice.client.executors.compression_times import CompressionTimes, detail_of, measured_times, share_of
from ondevice.client.network import NetworkEstimates
from ondevice.client.picture import Picture, Upload
from ondevice.client.upload_choice import UploadChoice, UploadEstimate, UploadMode
from ondevice.errors import ImageError
from ondevice.protocol.rung import Rung
from ondevice.selection.ladder import UploadLadder, usual_bytes
from ondevice.selection.uploads import Situation, UploadCandidates, best, near
from ondevice.timing.arrays import FloatArray
from ondevice.upload import compressed

# Without a ladder: a scaled picture must be expected so much sooner there, for scaling costs some accuracy, and the
# estimate is that rough.
_MIN_GAIN_MS = 2.0
# Before anything is known of the endpoint's models: those of ImageNet mostly want 224. Over a bad link whole pictures
# may leave no room for asking.
_USUAL_SIDE = 224
# What scaled pictures are sent as: at 90 JPEG's own loss is small beside that of scaling. Models look at no less than
# this share of the shorter side: the usual centre crop.
SCALED_QUALITY, _CROP = 90, 0.875
# Of a picture whose file is not known: a photo of some 500 x 375 pixels.
_SIZE_BYTES = 100_000
_WHOLE = np.ones((1, 1))
# A picture whose size is off by less changes no choice by much; photos' differ by a quarter (one deviation).
_AS_EXPECTED = 0.1
# So many are sooner looked at closely at once (0.16 ms) than roughly, and then those near the best closely (0.20).
_FEW = 12


class Menu(NamedTuple):
    """What may be sent of a picture: u choices, their sizes, bytes [u], and what they leave of the models' accuracies,
    [u, m], or [1, 1] where that is all of it. The choices' own sizes are those of a usual picture.
    """

    choices: tuple[UploadChoice, ...]
    size_bytes: FloatArray
    kept: FloatArray

    def choice(self, number: int) -> UploadChoice:
        """One of them, with the size to expect of this picture."""
        return self.choices[number]._replace(size_bytes=float(self.size_bytes[number]))

    def with_file(self, file: UploadChoice) -> Menu:
        """The file besides, which is all of the picture."""
        kept = np.concatenate([self.kept, np.ones((1, self.kept.shape[1]))])
        return Menu((*self.choices, file), np.append(self.size_bytes, file.size_bytes), kept)


class UploadQuestion(NamedTuple):
    """For what an upload is chosen. within_ms: the time that there is. device_top1: the accuracy in reserve."""

    endpoint: UploadForecast
    picture: Picture
    within_ms: float
    device_top1: float


class Uploads:
    """mode: what may be sent; a rung: that alone. compression: what it takes; None: as this device is measured."""

    def __init__(
        self,
        network: NetworkEstimates,
        aside: Aside,
        mode: UploadMode | Rung,
        compression: CompressionTimes | None = None,
    ) -> None:
        self._network, self._aside, self._mode = network, aside, mode
        self._compression = compression or CompressionTimes(measured_times())
        # Of one endpoint; or of two, as after a restart with other models.
        self._rungs = lru_cache(2)(self._made_here)

    def choose(self, question: UploadQuestion, made: Upload | None = None) -> UploadEstimate:
        """What is best sent. made: a rung that was made already, which tells this picture's sizes."""
        menu = self._menu(question, self._compression.detail if made is None else self._detail(question, made))
        making_ms = [0.0 if made and choice.rung == made.rung else self._making_ms(choice) for choice in menu.choices]
        overhead_ms = self._network.points_ms(menu.size_bytes) + np.array(making_ms)[:, None]
        uploads = UploadCandidates(menu.size_bytes, overhead_ms, menu.kept)
        situation = Situation(question.within_ms, self._network.fixed_ms(), question.device_top1)
        rows = np.arange(len(menu.choices))
        if len(rows) > _FEW:
            rows = near(question.endpoint.effective_top1(uploads.roughly(), situation))
        expected = question.endpoint.effective_top1(few := uploads.those(rows), situation)
        chosen = best(few, expected)
        return UploadEstimate(menu.choice(rows[chosen]), float(expected[chosen]))

    async def make(self, question: UploadQuestion, choice: UploadChoice) -> Upload:
        """The upload that was chosen, or another, where it is of another size than was expected. Raises ImageError."""
        begun, picture = perf_counter(), question.picture
        if not picture.loaded:
            await self._aside(picture.load)
        upload = await self._made(picture, choice)
        left_ms = question.within_ms - (perf_counter() - begun) * 1e3
        other = self.instead(question._replace(within_ms=left_ms), choice, upload)
        return await self._made(picture, other) if other else upload

    def instead(self, question: UploadQuestion, choice: UploadChoice, made: Upload) -> UploadChoice | None:
        """What is better sent than what was made by a choice, for that is of another size than was expected; else None.

        question: with the time that is left now.
        """
        if not made.told or abs(len(made.body) / choice.size_bytes - 1) < _AS_EXPECTED:
            return None
        again = self.choose(question, made).choice
        return again if again.rung != made.rung else None

    async def _made(self, picture: Picture, choice: UploadChoice) -> Upload:
        if choice.rung is None and picture.file is not None:
            return Upload(picture.file, picture.kind)
        try:
            return await self._compressed(picture, choice if choice.rung else self._scaled(_USUAL_SIDE))
        except ImageError:
            if picture.file is None:
                raise
            # The endpoint may read what is not readable here, or says what is wrong with it.
            return Upload(picture.file, picture.kind)

    async def _compressed(self, picture: Picture, choice: UploadChoice) -> Upload:
        assert choice.rung
        body, took_ms = await self._aside(_timed, picture, choice.rung, choice.crop)
        self._compression.learn(choice.rung, took_ms, len(body) / choice.usual_bytes)
        return Upload(body, choice.rung.compression.media_type, choice.rung, choice.crop, choice.told)

    def _menu(self, question: UploadQuestion, detail: float) -> Menu:
        endpoint, picture = question.endpoint, question.picture
        file, ladder = UploadChoice(None, float(_size_bytes(picture))), endpoint.ladder
        if isinstance(self._mode, Rung):
            return _alone(self._fixed(self._mode, ladder))
        if self._mode is UploadMode.FILE or not endpoint.side:
            return _alone(file)
        if self._mode is UploadMode.SCALED or ladder is None:
            scaled = self._scaled(endpoint.side)
            return _alone(scaled if _has_no_file(picture) or self._sooner(scaled, file) else file)
        usual = self._rungs(ladder)
        shares = [share_of(choice.rung, detail) for choice in usual.choices if choice.rung]
        rungs = usual._replace(size_bytes=usual.size_bytes * shares)
        return rungs if _has_no_file(picture) else rungs.with_file(file)

    def _made_here(self, ladder: UploadLadder) -> Menu:
        """Those rungs that can be made here, of a usual picture."""
        rows = [row for row, rung in enumerate(ladder.rungs) if self._compression.knows(rung)]
        choices = tuple(
            UploadChoice(ladder.rungs[row], size, size, ladder.crop, told=True)
            for row, size in zip(rows, ladder.size_bytes[rows].tolist(), strict=True)
        )
        return Menu(choices, ladder.size_bytes[rows], ladder.kept[rows])

    def _detail(self, question: UploadQuestion, made: Upload) -> float:
        """That of this picture."""
        ladder = question.endpoint.ladder
        if ladder is None or made.rung not in ladder.rungs:
            return self._compression.detail
        return detail_of(made.rung, len(made.body) / float(ladder.size_bytes[ladder.rungs.index(made.rung)]))

    def _fixed(self, rung: Rung, ladder: UploadLadder | None) -> UploadChoice:
        return self._of(rung)._replace(crop=ladder.crop if ladder else 1.0, told=ladder is not None)

    def _scaled(self, side: int) -> UploadChoice:
        return self._of(scaled_rung(side))

    def _of(self, rung: Rung) -> UploadChoice:
        """All of the picture as that."""
        usual = usual_bytes(rung)
        return UploadChoice(rung, usual * share_of(rung, self._compression.detail), usual)

    def _sooner(self, scaled: UploadChoice, file: UploadChoice) -> bool:
        sending_ms = [self._network.sending_ms(round(choice.size_bytes)) for choice in (scaled, file)]
        return sending_ms[0] + self._making_ms(scaled) + _MIN_GAIN_MS < sending_ms[1]

    def _making_ms(self, choice: UploadChoice) -> float:
        return self._compression.expect_ms(choice.rung) if choice.rung else 0.0


def scaled_rung(side: int) -> Rung:
    """What a whole picture is scaled to, so that a model of this input side loses nothing to the usual centre crop."""
    return Rung(math.ceil(side / _CROP), SCALED_QUALITY)


def _alone(choice: UploadChoice) -> Menu:
    return Menu((choice,), np.array([choice.size_bytes]), _WHOLE)


def _has_no_file(picture: Picture) -> bool:
    return picture.loaded and picture.file is None


def _size_bytes(picture: Picture) -> int:
    file = picture.file if picture.loaded else None
    return len(file) if file else _SIZE_BYTES


def _timed(picture: Picture, rung: Rung, crop: float) -> tuple[bytes, float]:
    begun = perf_counter()
    return compressed(picture.readable, rung, crop), (perf_counter() - begun) * 1e3
