"""Pictures that take much memory to decode: only so many of them are decoded at once, however many workers there are.

A WebP of 49 megapixels, 88 kB as it is sent, takes 770 MB in a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TypeVar

from ondevice.errors import RefusedError
from ondevice.protocol.picture import MAX_PIXELS, PictureFormat, PictureHead
from ondevice.resilience.budget import Allotment, Budget

# What decoding takes a pixel, measured with Pillow 13 at 49 megapixels for a network of 224 x 224: most have 8-bit RGB
# in 4 bytes, and again with alpha; libwebp has two canvases besides; a progressive JPEG is held as coefficients. Other
# JPEGs are decoded at a fraction of their size.
_BYTES_A_PIXEL = {
    PictureFormat.JPEG: 0,
    PictureFormat.PROGRESSIVE: 6,
    PictureFormat.PNG: 8,
    PictureFormat.WEBP: 16,
    PictureFormat.GIF: 6,
    PictureFormat.OTHER: 8,
}
# What takes less is not counted: each worker decodes one picture at a time. Photos of a phone's camera are JPEGs.
_LARGE_BYTES = 100_000_000
# For all large ones together: the largest there can be, 50 megapixels of WebP, is decoded when no other large one is.
_TOTAL_BYTES = 1_000_000_000
# Who has waited for so long is refused: in that time some ten of the largest are decoded.
_PATIENCE_S = 30.0

_T = TypeVar("_T")


class LargePictures:
    """Who may decode large pictures, and who waits for it."""

    def __init__(self) -> None:
        self.budget = Budget(_TOTAL_BYTES)

    async def run(self, head: PictureHead, work: Callable[[], Awaitable[_T]]) -> _T:
        """Do this when there is room to decode the picture. Raises RefusedError where that takes too long.

        Work that has begun goes on when its client leaves: a worker decodes to the end too, and takes the memory.
        """
        share = await self._share(decoding_bytes(head))
        task = asyncio.ensure_future(work())
        task.add_done_callback(lambda _: share.give_back())
        return await asyncio.shield(task)

    async def _share(self, amount: int) -> Allotment:
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        share = self.budget.take(amount, partial(_settle, granted))
        if share.granted:
            return share
        try:
            await asyncio.wait_for(granted, _PATIENCE_S)
        except TimeoutError as error:
            share.give_back()
            raise RefusedError("other pictures as large are decoded now: make it smaller, or try again", 5) from error
        except asyncio.CancelledError:
            share.give_back()
            raise
        return share


def _settle(granted: asyncio.Future[None]) -> None:
    if not granted.done():  # else its client has just left
        granted.set_result(None)


def is_large(head: PictureHead) -> bool:
    """Whether so much memory is needed to decode it that it must not be done in many workers at once."""
    return decoding_bytes(head) > _LARGE_BYTES


def decoding_bytes(head: PictureHead) -> int:
    """What decoding takes, about; nothing for a picture that is refused for its size before it is decoded."""
    a_pixel = _BYTES_A_PIXEL[head.format]
    if not a_pixel or (head.pixels > MAX_PIXELS and head.format is not PictureFormat.PROGRESSIVE):
        return 0
    return a_pixel * head.pixels
