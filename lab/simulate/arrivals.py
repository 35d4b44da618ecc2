"""When requests come: alone, at random, in bursts, or as a file says.

::

    alone                              each finds the server idle; at random, one a second in the mean
    poisson:rate=20                    20 a second in the mean, independent of each other
    poisson:load=1.2                   1.2 times what the server could carry with its most accurate model alone
    bursts:rate=20,factor=5,length=2   20 a second in the mean, all of them in bursts of 2 s (in the mean) with 5 times
                                       that rate and silence between
    file:FILE                          each line a time in ms, in Mahimahi's trace format; again when it ends
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ondevice import words
from ondevice.errors import UsageError
from ondevice.lab.link.trace import Trace
from ondevice.lab.simulate import notation
from ondevice.lab.simulate.notation import Bounds
from ondevice.timing.arrays import FloatArray

Clock = Callable[[int], FloatArray]
_KINDS = ("alone", "poisson", "bursts", "file")
# A million requests a second, or a thousand times what the server carries, is more than any server is asked.
_RATE = {"rate": Bounds(0, 1e6, 0.0), "load": Bounds(0, 1e3, 0.0)}
# Bursts without settings have 5 times the rate for 2 s: a server at a fifth of its capacity in the mean is then full.
# At once the rate there would be no silence between; a burst of 10^6 s (11 days) is longer than any simulation.
_BURST = {"factor": Bounds(1, 1e3, 5.0, open=True), "length": Bounds(0, 1e6, 2.0, open=True)}
# Requests that find the server idle may come at any pace; with one a second a trace is met at many places.
_ALONE_PER_S = 1.0


@dataclass(frozen=True, eq=False)
class Arrivals:
    """Requests over time. text: what names them. queued: whether they may find the server busy.

    rate_per_s: in the mean; or load, as a share of what the server carries with its most accurate model. factor,
    length_ms: of bursts. trace: of a file.
    """

    text: str
    queued: bool
    rate_per_s: float = 0.0
    load: float = 0.0
    factor: float = 1.0
    length_ms: float = 0.0
    trace: Trace | None = None

    def clock(self, carries_per_s: float, rng: np.random.Generator) -> Clock:
        """Gives the times of the next n requests, ms since the start, each time it is called."""
        if self.trace is not None:
            return _from_trace(self.trace)
        rate_per_ms = (self.rate_per_s or self.load * carries_per_s) / 1e3
        steady = _poisson(rate_per_ms * self.factor, rng)
        return steady if self.factor == 1 else _in_bursts(steady, self.length_ms, self.factor, rng)


ALONE = Arrivals("alone", queued=False, rate_per_s=_ALONE_PER_S)


def find(text: str) -> Arrivals:
    """The arrivals that `text` names. Raises UsageError; OnDeviceError with the line for a file of other lines."""
    kind = text.partition(":")[0]
    words.known(kind, _KINDS, "load")
    if kind == "file":
        path = text.partition(":")[2]
        if not path:
            raise UsageError("file: write file:FILE, each of its lines a time in ms")
        return Arrivals(text, True, trace=Trace.load(path))
    _, settings = notation.parse(text)
    bounds: dict[str, Bounds] = {}
    if kind != "alone":
        bounds = dict(_RATE)
    if kind == "bursts":
        bounds |= _BURST
    numbers = notation.parse_numbers(text, settings, bounds)
    if kind == "alone":
        return ALONE
    if bool(numbers["rate"]) == bool(numbers["load"]):
        raise UsageError(f"{notation.shortened(text)}: give one of rate=REQUESTS_A_SECOND and load=SHARE, above 0")
    return Arrivals(
        text, True, numbers["rate"], numbers["load"], numbers.get("factor", 1.0), numbers.get("length", 0.0) * 1e3
    )


def _poisson(rate_per_ms: float, rng: np.random.Generator) -> Clock:
    now_ms = 0.0

    def clock(n: int) -> FloatArray:
        nonlocal now_ms
        at_ms = now_ms + np.cumsum(rng.exponential(1 / rate_per_ms, n))
        now_ms = float(at_ms[-1])
        return at_ms

    return clock


def _in_bursts(steady: Clock, length_ms: float, factor: float, rng: np.random.Generator) -> Clock:
    """A clock that runs in bursts: the times of `steady`, with silences put between."""
    ends_ms, silent_ms = np.zeros(0), np.zeros(1)

    def clock(n: int) -> FloatArray:
        nonlocal ends_ms, silent_ms
        at_ms = steady(n)
        while not len(ends_ms) or ends_ms[-1] <= at_ms[-1]:
            more, pauses = rng.exponential(length_ms, 256), rng.exponential(length_ms * (factor - 1), 256)
            ends_ms = np.concatenate([ends_ms, (ends_ms[-1] if len(ends_ms) else 0.0) + np.cumsum(more)])
            silent_ms = np.concatenate([silent_ms, silent_ms[-1] + np.cumsum(pauses)])
        return at_ms + silent_ms[np.searchsorted(ends_ms, at_ms, side="right")]

    return clock


def _from_trace(trace: Trace) -> Clock:
    given = 0

    def clock(n: int) -> FloatArray:
        nonlocal given
        given += n
        return trace.times_ms(np.arange(given - n, given))

    return clock
