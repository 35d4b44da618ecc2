"""Synthetic networks by name, made from a seed, and traces from files."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ondevice import words
from ondevice.errors import UsageError
from ondevice.lab.link.trace import PACKET_BYTES, Trace
from ondevice.timing.arrays import FloatArray

# As long as a run of a benchmark: in a minute every state is met several times, and it is made in 0.1 s.
PERIOD_MS = 60_000
# The rate also wanders within a state: each so many ms it is multiplied by a lognormal factor with mean 1. A tenth of a
# second is longer than most round trips and shorter than any state; 0.3 is little beside the steps between states.
_FADING_MS, _FADING_SIGMA = 100, 0.3


class RadioState(NamedTuple):
    """How the network is for a while: mean rates in Mbit/s, and the mean of the time that it lasts (exponential)."""

    down_mbps: float
    up_mbps: float
    mean_s: float


# From the best state to the worst. Each is followed by one of its neighbours, either as likely as the other.
NETWORKS: dict[str, tuple[RadioState, ...]] = {
    # On the move: good, fair, bad, and an outage now and then, within tens of seconds.
    "cellular": (RadioState(14, 6, 6), RadioState(4, 1.5, 3), RadioState(0.8, 0.3, 2), RadioState(0, 0, 0.7)),
    # A busy access point: fast, with a dip when others send.
    "wifi": (RadioState(60, 40, 8), RadioState(20, 12, 1), RadioState(4, 2, 0.3)),
    # 4G with little movement.
    "lte": (RadioState(25, 10, 6), RadioState(8, 3, 3), RadioState(2, 0.7, 1)),
    # 3G.
    "umts": (RadioState(3.5, 1.4, 4), RadioState(1.4, 0.6, 4), RadioState(0.3, 0.12, 1.5)),
}


def find(name: str, seed: int = 0) -> tuple[Trace, Trace]:
    """The traces (up, down) of a network of `NETWORKS`, of one Mahimahi file, or of FILE.up and FILE.down.

    Raises UsageError where there is neither, OnDeviceError with the line for a file that does not hold a trace.
    """
    if name in NETWORKS:
        return synthetic(name, seed)
    pair = Path(f"{name}.up"), Path(f"{name}.down")
    if all(_exists(path) for path in pair):
        return Trace.load(pair[0]), Trace.load(pair[1])
    if _exists(Path(name)):
        return (trace := Trace.load(name)), trace
    hint = words.suggestion(name, NETWORKS)
    raise UsageError(f"no trace '{name}', nor a file of that name, nor {name}.up and {name}.down; {hint}")


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # a name that is too long, a folder that may not be read
        return False


def synthetic(name: str, seed: int) -> tuple[Trace, Trace]:
    """The traces (up, down) of a network: 60 s, the same for the same seed.

    Both directions are in the same state at the same time, for they share one radio. Opportunities are a Poisson
    process whose rate is random too, as in Sprout's model of a cellular link (Winstein et al., "Stochastic Forecasts
    Achieve High Throughput and Low Delay over Cellular Networks", NSDI 2013, section 3), with a Markov chain of states
    in place of its Brownian motion.
    """
    rng = np.random.default_rng([seed, *name.encode()])
    states = list(_states(NETWORKS[name], rng))
    up, down = (np.array([getattr(state, rate) for state in states]) for rate in ("up_mbps", "down_mbps"))
    return _trace(up, rng), _trace(down, rng)


def _states(states: Sequence[RadioState], rng: np.random.Generator) -> Iterator[RadioState]:
    """The state in each ms of the period. It begins in the best one."""
    at = left = 0
    for ms in range(PERIOD_MS):
        if left == 0:
            neighbours = [i for i in (at - 1, at + 1) if 0 <= i < len(states)]
            at = int(rng.choice(neighbours)) if ms else 0
            left = max(1, round(rng.exponential(states[at].mean_s) * 1e3))
        left -= 1
        yield states[at]


def _trace(mbps: FloatArray, rng: np.random.Generator) -> Trace:
    """Opportunities of a Poisson process with these mean rates, one for each ms."""
    fading = rng.lognormal(-(_FADING_SIGMA**2) / 2, _FADING_SIGMA, PERIOD_MS // _FADING_MS)
    per_ms = mbps * np.repeat(fading, _FADING_MS) * 1e3 / (8 * PACKET_BYTES)
    return Trace(np.repeat(np.arange(1.0, PERIOD_MS + 1), rng.poisson(per_ms)), PERIOD_MS)
