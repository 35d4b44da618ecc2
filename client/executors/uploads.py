"""What is sent of each picture: its file, or only so much of it as is worth its time."""

from __future__ import annotations

from time import perf_counter

import numpy as np

from ondevice.client.endpoint.description import Aside
from ondevice.client.executors.compression_times import CompressionTimes, measured_times
from ondevice.client.executors.upload_menu import Menu, UploadMenus, UploadQuestion
from ondevice.client.network import NetworkEstimates
from ondevice.client.picture import Picture, Upload
from ondevice.client.upload_choice import UploadChoice, UploadEstimate, UploadMode
from ondevice.errors import ImageError
from ondevice.protocol.rung import Rung
from ondevice.selection.uploads import SAME_TOP1, Situation, UploadCandidates, best, near
from ondevice.upload import compressed

# Before anything is known of the endpoint's models: those of ImageNet mostly want 224. Over a bad link whole pictures
# may leave no room for asking.
_USUAL_SIDE = 224
# A picture whose size is off by less changes no choice by much; photos' differ by a quarter (one deviation).
_AS_EXPECTED = 0.1
# So many are sooner looked at closely at once (0.16 ms) than roughly, and then those near the best closely (0.20).
_FEW = 12


class Uploads:
    """mode: what may be sent; a rung: that alone. compression: what it takes; None: as this device is measured."""

    def __init__(
        self,
        network: NetworkEstimates,
        aside: Aside,
        mode: UploadMode | Rung,
        compression: CompressionTimes | None = None,
    ) -> None:
        self._network, self._aside = network, aside
        self._compression = compression or CompressionTimes(measured_times())
        self._menus = UploadMenus(network, mode, self._compression)

    def choose(self, question: UploadQuestion, made: Upload | None = None) -> UploadEstimate:
        """What is best sent. made: a rung that was made already, which tells this picture's sizes."""
        return self._settled(question) or self._best(question, made)

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

    def _settled(self, question: UploadQuestion) -> UploadEstimate | None:
        """The file, where it is worth more than all else even if that were in time for certain: as the whole choice
        would come out, for half of its time, where pictures are small or the network is good. Else None.
        """
        if not (file := self._menus.file_in_time(question)):
            return None
        alone, most_top1 = self._candidates(Menu.alone(file)), self._menus.most_top1_of_others(question.endpoint)
        (expected,) = question.endpoint.effective_top1(alone, self._situation(question)).tolist()
        settled = expected - SAME_TOP1 > max(most_top1, question.device_top1)
        return UploadEstimate(file, expected) if settled else None

    def _best(self, question: UploadQuestion, made: Upload | None) -> UploadEstimate:
        """Of all that may be sent."""
        menu, situation = self._menus.of(question, made), self._situation(question)
        uploads = self._candidates(menu, made)
        rows = np.arange(len(menu.choices))
        if len(rows) > _FEW:
            rows = near(question.endpoint.effective_top1(uploads.roughly(), situation))
        expected = question.endpoint.effective_top1(few := uploads.those(rows), situation)
        chosen = best(few, expected)
        return UploadEstimate(menu.choice(rows[chosen]), float(expected[chosen]))

    def _candidates(self, menu: Menu, made: Upload | None = None) -> UploadCandidates:
        """made: that takes no time any more."""
        making_ms = [
            0.0 if made and choice.rung == made.rung else self._menus.making_ms(choice) for choice in menu.choices
        ]
        overhead_ms = self._network.points_ms(menu.size_bytes) + np.array(making_ms)[:, None]
        return UploadCandidates(menu.size_bytes, overhead_ms, menu.kept)

    def _situation(self, question: UploadQuestion) -> Situation:
        return Situation(question.within_ms, self._network.fixed_ms(), question.device_top1)

    async def _made(self, picture: Picture, choice: UploadChoice) -> Upload:
        if choice.rung is None and picture.file is not None:
            return Upload(picture.file, picture.kind)
        try:
            return await self._compressed(picture, choice if choice.rung else self._menus.scaled(_USUAL_SIDE))
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


def _timed(picture: Picture, rung: Rung, crop: float) -> tuple[bytes, float]:
    begun = perf_counter()
    return compressed(picture.readable, rung, crop), (perf_counter() - begun) * 1e3
