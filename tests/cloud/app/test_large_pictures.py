"""Pictures that take much memory to decode: some at once, the others in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from ondevice.cloud.app import large_pictures
from ondevice.cloud.app.large_pictures import LargePictures, is_large
from ondevice.errors import RefusedError
from ondevice.protocol.picture import PictureFormat, PictureHead


def head(kind: PictureFormat, megapixels: int) -> PictureHead:
    return PictureHead(kind, 1_000_000, megapixels, 100_000)


HUGE = head(PictureFormat.WEBP, 49)


@pytest.mark.parametrize(
    ("one", "large"),
    [
        (HUGE, True),
        (head(PictureFormat.PNG, 49), True),
        (head(PictureFormat.JPEG, 49), False),
        (head(PictureFormat.WEBP, 1), False),
        (head(PictureFormat.PROGRESSIVE, 12), False),
    ],
)
def test_photos_are_not_large_and_few_others_are(one: PictureHead, large: bool) -> None:
    assert is_large(one) is large


class Decoder:
    """Counts who decodes, each until it is told to end."""

    def __init__(self) -> None:
        self.pictures, self.at_work, self.most = LargePictures(), 0, 0
        self.ended = asyncio.Event()

    async def _decode(self) -> str:
        self.at_work += 1
        self.most = max(self.most, self.at_work)
        await self.ended.wait()
        self.at_work -= 1
        return "done"

    def start(self, one: PictureHead) -> asyncio.Task[str]:
        return asyncio.create_task(self.pictures.run(one, self._decode))


def play(body: Callable[[Decoder], Awaitable[None]]) -> None:
    async def whole() -> None:
        await asyncio.wait_for(body(Decoder()), 30)

    asyncio.run(whole())


async def rest() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


def test_the_largest_are_decoded_one_after_the_other() -> None:
    async def body(decoder: Decoder) -> None:
        tasks = [decoder.start(HUGE) for _ in range(5)]
        await rest()
        assert (decoder.at_work, decoder.pictures.budget.waiting) == (1, 4)
        decoder.ended.set()
        assert await asyncio.gather(*tasks) == ["done"] * 5
        assert (decoder.most, decoder.pictures.budget.held) == (1, 0)

    play(body)


def test_those_of_a_fifth_of_that_are_decoded_side_by_side() -> None:
    async def body(decoder: Decoder) -> None:
        tasks = [decoder.start(head(PictureFormat.WEBP, 10)) for _ in range(8)]
        await rest()
        assert decoder.at_work == 5
        decoder.ended.set()
        await asyncio.gather(*tasks)

    play(body)


def test_a_client_that_leaves_while_it_waits_costs_nothing_and_later_it_holds_its_room_to_the_end() -> None:
    async def body(decoder: Decoder) -> None:
        decoding, waiting, next_one = (decoder.start(HUGE) for _ in range(3))
        await rest()
        decoding.cancel()
        waiting.cancel()
        await rest()
        assert (decoder.at_work, decoder.pictures.budget.waiting) == (1, 1), "a worker is still at it"
        decoder.ended.set()
        assert await next_one == "done"
        assert decoder.most == 1

    play(body)


def test_who_waits_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_pictures, "_PATIENCE_S", 0.0)

    async def body(decoder: Decoder) -> None:
        decoding, waiting = decoder.start(HUGE), decoder.start(HUGE)
        with pytest.raises(RefusedError, match="make it smaller, or try again"):
            await waiting
        assert decoder.pictures.budget.waiting == 0
        decoder.ended.set()
        await decoding

    play(body)


def test_what_fails_gives_its_room_back() -> None:
    async def fail() -> str:
        raise RefusedError("no", 1)

    async def body(decoder: Decoder) -> None:
        with pytest.raises(RefusedError):
            await decoder.pictures.run(HUGE, fail)
        await rest()
        assert decoder.pictures.budget.held == 0

    play(body)


@pytest.mark.parametrize("kind", [PictureFormat.PNG, PictureFormat.WEBP, PictureFormat.GIF, PictureFormat.OTHER])
def test_what_is_refused_for_its_size_is_not_waited_for(kind: PictureFormat) -> None:
    assert is_large(head(kind, 49))
    assert not is_large(head(kind, 400))
