"""`AsyncOffloadClient`: what `OffloadClient` is, for programs on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from functools import cached_property

from ondevice.answer import Answer
from ondevice.client.base import BaseClient
from ondevice.client.bridge import LoopBridge
from ondevice.errors import OnDeviceError
from ondevice.frames.frame import FrameAnswer
from ondevice.frames.latest import Frames, LatestFrames, latest
from ondevice.image import ImageSource


class AsyncOffloadClient(BaseClient):
    """Classifies pictures within a deadline, on this device, at an endpoint, or both, without holding the loop up.

    >>> async with AsyncOffloadClient("http://localhost:8000", "mobilenet_v1_0.25_128_quant", sla_ms=200) as client:
    ...     answer = await client.classify("photo.jpg")

    Takes and raises what `OffloadClient` does, and decides as it does: the work is done on a thread of the client's
    own. Making it loads the local models, which takes a moment. May be used from several event loops.
    """

    _beside_a_loop = True

    @cached_property
    def _bridge(self) -> LoopBridge:
        return LoopBridge(self._engine)

    async def classify(self, image: ImageSource, sla_ms: float | None = None) -> Answer:
        """See `OffloadClient.classify`. Cancelling it ends the request, here and at the endpoint."""
        task = self._task(image, sla_ms)
        try:
            ending = await self._bridge.run(lambda: self._fly(task), self._hold_s(task), lambda: task.reserve)
        except BaseException as error:  # cancelled, by the caller or by `close`
            raise self._instead(error, self._lost(error)) from None
        return self._landed(task, ending)

    async def stream(
        self, frames: Frames | LatestFrames, sla_ms: float | None = None
    ) -> AsyncGenerator[FrameAnswer, None]:
        """See `OffloadClient.stream`. frames: may also come asynchronously."""
        async for frame in latest(frames):
            result: Answer | OnDeviceError
            try:
                result = await self.classify(frame.source, sla_ms)
            except OnDeviceError as error:
                result = self._of_frame(error)
            yield FrameAnswer(frame, result, frame.age_ms)

    async def ready(self, timeout_s: float) -> bool:
        """See `OffloadClient.ready`."""
        try:
            return await self._bridge.run(lambda: self._get_ready(timeout_s))
        except BaseException as error:
            raise self._instead(error, self._ended_by(error)) from None

    async def close(self) -> None:
        """End what is under way; once or often."""
        await asyncio.to_thread(self._end)

    @staticmethod
    def _instead(error: BaseException, instead: BaseException) -> BaseException:
        """What to raise: who is cancelled must be."""
        if not isinstance(error, asyncio.CancelledError):  # the loop may be closed under it: then it has no task
            return instead
        own = asyncio.current_task()
        return error if own and own.cancelling() else instead

    async def __aenter__(self) -> AsyncOffloadClient:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.close()
