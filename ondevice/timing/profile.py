"""The record of how long a model takes, as benchmarks save it, endpoints publish it, and all the others read it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ondevice import records
from ondevice.timing.bounds import BELIEVABLE_MS
from ondevice.timing.distribution import Distribution
from ondevice.timing.quantiles import LEVELS

# Times are written to a nanosecond, which is finer than any clock that they were read from.
_DIGITS = 6


@dataclass(frozen=True)
class Profile:
    """A model's inference time somewhere: mean, standard deviation, and quantiles [21], in ms, of `n` runs.

    quantiles_ms: at `quantiles.LEVELS`. host: the machine, or the emulated device. runtime: with its version.
    """

    model: str
    mean_ms: float
    std_ms: float
    quantiles_ms: tuple[float, ...]
    n: int
    host: str
    runtime: str
    threads: int

    @classmethod
    def of(cls, model: str, samples_ms: Sequence[float], host: str, runtime: str, threads: int) -> Profile:
        """From at least one sample, in ms."""
        return cls(model, *Distribution.of(samples_ms).figures, len(samples_ms), host, runtime, threads)

    @property
    def distribution(self) -> Distribution:
        """What it says of the time."""
        return Distribution(self.mean_ms, self.std_ms, np.array(self.quantiles_ms, float))

    @property
    def fault(self) -> str:
        """What is wrong with it, in words, since it may come from a file or from a stranger; "" where nothing is."""
        quantiles_ms = self.quantiles_ms
        if self.n < 0 or self.threads < 0:
            return "its profile has a number of runs or threads below 0"
        if not all(map(_is_believable, (self.mean_ms, self.std_ms, *quantiles_ms))):
            return f"its profile has a time that is not a number of ms from 0 to {BELIEVABLE_MS:g}"
        if len(quantiles_ms) != len(LEVELS) or sorted(quantiles_ms) != list(quantiles_ms):
            return f"its profile needs {len(LEVELS)} quantiles that never fall"
        return ""


def dumps(profiles: Iterable[Profile]) -> str:
    """The profiles as JSON."""
    return json.dumps([_rounded(asdict(profile)) for profile in profiles], indent=1)


def loads(text: str) -> list[Profile]:
    """The profiles of `dumps`. Raises ValueError for what is not a list of sound ones."""
    try:
        return [_sound(profile) for profile in records.read(list[Profile], json.loads(text))]
    except ValueError as error:
        raise ValueError(f"not a list of profiles: {error}") from error


def _sound(profile: Profile) -> Profile:
    if fault := profile.fault:
        raise ValueError(f"{profile.model:.40}: {fault}")
    return profile


def _is_believable(ms: float) -> bool:
    return 0 <= ms <= BELIEVABLE_MS


def _rounded(row: dict[str, object]) -> dict[str, object]:
    return {
        key: round(value, _DIGITS) if isinstance(value, float)
        else [round(v, _DIGITS) for v in value] if isinstance(value, tuple)
        else value
        for key, value in row.items()
    }  # fmt: skip
