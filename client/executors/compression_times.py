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
# A picture with much detail is a larger file than usual: as WebP by this power of what it is larger by as JPEG. So each
# is foretold from the other within 4 to 12 % (one deviation, 500 photos); taken as alike, within 15 to 24 %.
_POWER = {Compression.JPEG: 1.0, Compression.WEBP: 1.6}


class CompressionTimes:
    """Learned from times_ms on: the time of each compression that this device knows, and the pictures' detail, which
    one camera's have in common.
    """

    def __init__(self, times_ms: Mapping[Compression, Sequence[float]]) -> None:
        self._took = {each: Recent(known) for each, known in times_ms.items()}
        self._detail = Recent([1.0])

    def knows(self, rung: Rung) -> bool:
        """Whether this device can make it."""
        return rung.compression in self._took

    def expect_ms(self, rung: Rung) -> float:
        """The time to expect."""
        return self._took[rung.compression].distribution.mean_ms

    @property
    def detail(self) -> float:
        """How large pictures are as JPEG, as a share of the sizes that their rungs let expect."""
        return self._detail.distribution.mean_ms

    def learn(self, rung: Rung, took_ms: float, share: float) -> None:
        """Learn from a picture that was made that, of so large a share of the size that this rung let expect."""
        self._took[rung.compression].add(took_ms)
        self._detail.add(detail_of(rung, share))


def share_of(rung: Rung, detail: float) -> float:
    """How large a picture of that detail is as that, as a share of what is usual."""
    return float(detail ** _POWER[rung.compression])


def detail_of(rung: Rung, share: float) -> float:
    """The detail of a picture that is so large as that."""
    return float(share ** (1 / _POWER[rung.compression]))


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
