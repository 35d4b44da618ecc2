"""What is sent of a picture: its file, or only as much as the endpoint's models look at, whichever is there sooner."""

from __future__ import annotations

from ondevice.client.endpoint.description import Aside
from ondevice.client.network import NetworkEstimates
from ondevice.client.picture import Picture, Scaling, Upload, side_for
from ondevice.errors import ImageError
from ondevice.timing.arrays import FloatArray

# A scaled picture must be expected so much sooner there: scaling costs some accuracy, and the estimate is that rough.
_MIN_GAIN_MS = 2.0
# Before anything is known of the endpoint's models: those of ImageNet mostly want 224. Over a bad link whole pictures
# may leave no room for asking.
_USUAL_SIDE = 224


class Uploads:
    """side: of the endpoint's largest input; 0: its models do not tell."""

    def __init__(self, network: NetworkEstimates, aside: Aside) -> None:
        self._network, self._aside = network, aside
        self._scaling = Scaling()

    def sending(self, size_bytes: int, side: int) -> tuple[float, bool]:
        """What getting a file of this size there is expected to take, ms, and whether it is scaled first."""
        as_is_ms = self._network.sending_ms(size_bytes)
        if not side:
            return as_is_ms, False
        scaling_ms, scaled_bytes = self._scaling.expect(side_for(side))
        scaled_ms = scaling_ms + self._network.sending_ms(scaled_bytes)
        return (scaled_ms, True) if scaled_ms + _MIN_GAIN_MS < as_is_ms else (as_is_ms, False)

    def overhead_ms(self, size_bytes: int, side: int) -> FloatArray:
        """[21] equally likely times, ms, of all but the inference, for a picture whose file has this size."""
        if not self.sending(size_bytes, side)[1]:
            return self._network.points_ms(size_bytes)
        scaling_ms, scaled_bytes = self._scaling.expect(side_for(side))
        return self._network.points_ms(scaled_bytes) + scaling_ms

    async def of(self, picture: Picture, side: int) -> Upload:
        """What is sent of this one. Raises ImageError."""
        if not picture.loaded:
            await self._aside(picture.load)
        if picture.file is None:
            return await self._scaled(picture, side or _USUAL_SIDE)
        if self.sending(len(picture.file), side)[1]:
            try:
                return await self._scaled(picture, side)
            except ImageError:  # the endpoint may read what is not readable here, or says what is wrong with it
                pass
        return Upload(picture.file, picture.kind)

    async def _scaled(self, picture: Picture, side: int) -> Upload:
        upload, took_ms = await self._aside(picture.scaled, side_for(side))
        self._scaling.learn(side_for(side), took_ms, len(upload.body))
        return upload
