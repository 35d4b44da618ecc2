"""A stream of pictures asked of the offload client, one after the other or at a steady pace."""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Generator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, NamedTuple

from ondevice.answer import Outcome
from ondevice.cli.tally import Graded
from ondevice.errors import OnDeviceError, UsageError
from ondevice.timing.bounds import LONGEST_MS

if TYPE_CHECKING:
    from ondevice.client.offload import OffloadClient
    from ondevice.image import ImageSource

# Pictures that may be under way at once, at a steady pace: the client has as many threads for the cloud, and one more
# would wait for one of them.
AT_ONCE = 8


class NamedImage(NamedTuple):
    """A picture to ask about, and the index of its class where that is known."""

    name: str
    source: ImageSource
    truth: int | None = None


@dataclass(frozen=True)
class PictureStream:
    """Which pictures are asked when: all of them, `repeat` times. every_ms: the pace; None: one after the other.

    Raises UsageError for a pace that cannot be kept.
    """

    pictures: list[NamedImage]
    every_ms: float | None
    repeat: int

    def __post_init__(self) -> None:
        if self.every_ms is not None and not 0 < self.every_ms <= LONGEST_MS:
            raise UsageError(
                f"--every takes ms above 0, up to an hour, not {self.every_ms:g}; without it, one after the other"
            )

    @property
    def has_truth(self) -> bool:
        """Whether it is known what is right."""
        return self.pictures[0].truth is not None

    def ask(self, client: OffloadClient) -> Generator[Graded, None, None]:
        """The requests, in the order of the pictures, each as soon as it and those before it are over."""
        begin, ended = perf_counter(), threading.Event()
        at_once = 1 if self.every_ms is None else AT_ONCE
        waiting: deque[Future[Graded]] = deque()

        def ask(number: int, picture: NamedImage) -> Graded:
            due = begin + number * (self.every_ms or 0.0) / 1e3
            if ended.wait(max(due - perf_counter(), 0.0)):
                raise CancelledError
            return _classify(client, picture)

        with ThreadPoolExecutor(at_once) as pool:
            try:
                for number, picture in enumerate(
                    itertools.chain.from_iterable(itertools.repeat(self.pictures, self.repeat))
                ):
                    waiting.append(pool.submit(ask, number, picture))
                    if len(waiting) == at_once:
                        yield waiting.popleft().result()
                while waiting:
                    yield waiting.popleft().result()
            finally:
                ended.set()


def _classify(client: OffloadClient, picture: NamedImage) -> Graded:
    try:
        answer = client.classify(picture.source)
    except OnDeviceError as error:
        return Graded(Outcome(picture.name, error), None)
    return Graded(Outcome(picture.name, answer), None if picture.truth is None else answer.index == picture.truth)
