"""What cutting out, scaling and compressing a picture takes on this device, and how large what comes of it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter

from ondevice.client.executors.sample_photo import sample_photo
from ondevice.protocol.rung import Compression, Rung
from ondevice.timing.recent import Recent
from ondevice.upload import can_compress, compressed

# Each compression is tried so often before the first request: the first time is the slowest, and not counted.
_TRIES = 3
# Of models' usual side, at a middling quality; decoding the picture is most of the time, whatever is made of it.
_TRIED_SIDE, _TRIED_QUALITY = 224, 60


class CompressionTimes:
    """Learned from times_ms on: the time of each compression that this device knows, and the sizes of pictures as a
    share of those that their rungs let expect, which one camera's have in common.
    """

    def __init__(self, times_ms: Mapping[Compression, Sequence[float]]) -> None:
        self._took = {each: Recent(known) for each, known in times_ms.items()}
        self._share = Recent([1.0])

    def knows(self, rung: Rung) -> bool:
        """Whether this device can make it."""
        return rung.compression in self._took

    def expect_ms(self, rung: Rung) -> float:
        """The time to expect."""
        return self._took[rung.compression].distribution.mean_ms

    @property
    def share(self) -> float:
        """How large pictures are, as a share of the sizes that were expected."""
        return self._share.distribution.mean_ms

    def learn(self, rung: Rung, took_ms: float, share: float) -> None:
        """Learn from a picture that was made that."""
        self._took[rung.compression].add(took_ms)
        self._share.add(share)


def measured_times() -> dict[Compression, list[float]]:
    """What each compression takes that this device knows, tried a few times, ms."""
    return {each: _tried(each) for each in Compression if can_compress(each)}


def _tried(compression: Compression) -> list[float]:
    rung, times_ms = Rung(_TRIED_SIDE, _TRIED_QUALITY, compression), []
    for _ in range(_TRIES):
        begun = perf_counter()
        compressed(sample_photo(), rung, 1.0)
        times_ms.append((perf_counter() - begun) * 1e3)
    return times_ms[1:]
