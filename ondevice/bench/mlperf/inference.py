"""One inference of a run: its failure in one line, and how long it takes at best."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from ondevice.errors import OnDeviceError

Invoke = Callable[[int], object]
# Dozens of inferences of a fast model, whose first ones vary most; a slow one takes its four, however long.
_ESTIMATE_S = 0.05


def infer(invoke: Invoke, sample: int) -> None:
    """Infer one sample. Raises OnDeviceError for whatever goes wrong in it."""
    try:
        invoke(sample)
    except OnDeviceError:
        raise
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        raise OnDeviceError(
            f"inference of sample {sample} failed, which ended the run: {reason} (--debug shows where)"
        ) from error


def fastest_s(invoke: Invoke, library_size: int) -> float:
    """The shortest time of a few inferences; the first warms up."""
    times: list[float] = []
    begin = start = perf_counter()
    while len(times) < 4 or start - begin < _ESTIMATE_S:
        infer(invoke, len(times) % library_size)
        times.append(perf_counter() - start)
        start = perf_counter()
    return max(min(times), 1e-6)
