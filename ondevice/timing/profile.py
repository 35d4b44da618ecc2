"""The one record of how long a model takes, as the endpoint, the client and the simulator read it. A leaf."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ondevice import records

# Quantiles are kept at 0, 5, …, 100 %.
LEVELS = np.linspace(0, 1, 21)


@dataclass(frozen=True)
class Profile:
    """A model's inference time somewhere: mean, standard deviation, and quantiles at LEVELS, in ms, of `n` runs.

    host: the machine, or the emulated device. runtime: with its version.
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
        """From at least two samples, in ms."""
        values = np.asarray(samples_ms, float)
        quantiles = tuple(np.quantile(values, LEVELS).tolist())
        return cls(
            model, float(values.mean()), float(values.std(ddof=1)), quantiles, len(values), host, runtime, threads
        )


def dumps(profiles: Iterable[Profile]) -> str:
    """The profiles as JSON, times rounded to a nanosecond."""
    return json.dumps([_rounded(asdict(profile)) for profile in profiles], indent=1)


def loads(text: str) -> list[Profile]:
    """The profiles of `dumps`. Raises ValueError for what is none."""
    try:
        return records.read(list[Profile], json.loads(text))
    except ValueError as error:
        raise ValueError(f"not a list of profiles: {error}") from error


def _rounded(row: dict[str, object]) -> dict[str, object]:
    return {
        key: round(value, 6) if isinstance(value, float) else [round(v, 6) for v in value] if isinstance(value, tuple)
        else value
        for key, value in row.items()
    }  # fmt: skip
