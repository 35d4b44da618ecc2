"""The legs of simulated networks, up to the cloud and back, for many requests at once; networks are named in text.

::

    normal:mean=50,std=25                       one draw above 0 a request, for both legs, as the papers' authors did
    lognormal:mean=46,std=24,correlation=0.8    a draw for each leg, their logarithms correlated (0: independent)
    floor:min=20,tail=15,shape=2                never below `min`, and above it a heavy tail with mean `tail`
    trace:NAME_OR_FILE,rtt=40                   the picture's and the reply's bytes through two Mahimahi traces

mean, std, min, tail: of one leg, ms. Any of them may go on with

::

    outage=10:2 or outage=10:2:60               nothing passes from 10 s on for 2 s (and so again every 60 s)
    drift=2@500 or drift=2@500-1500             legs take 2 times as long from request 500 on, or steadily towards it

except that a trace does not drift.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from ondevice import words
from ondevice.errors import UsageError
from ondevice.lab.link import networks
from ondevice.lab.link.trace import Trace
from ondevice.lab.simulate import distributions, notation
from ondevice.lab.simulate.distributions import LegDistribution
from ondevice.lab.simulate.disturbances import NO_DRIFT, Drift, Outage
from ondevice.lab.simulate.notation import Bounds
from ondevice.timing.arrays import FloatArray
from ondevice.timing.quantiles import MIDDLES

# So many requests at random times tell a trace's distribution: its quantiles are off by 1 % of the requests.
_TRACE_SAMPLES = 4096
_TRACE = re.compile(r"trace:(?P<name>.*?)(?:,(?P<settings>[a-z_]+=.*))?", re.DOTALL)


class Sizes(NamedTuple):
    """Bytes that travel: the picture up, the reply down, their headers included."""

    up_bytes: int = 100_000
    down_bytes: int = 1_000


DEFAULT_SIZES = Sizes()


# What a reply takes that leaves at leaves_ms [k] or [k, m], of the requests in a part of the n.
ReplyTimes = Callable[[FloatArray, slice], FloatArray]
ALL_REQUESTS = slice(None)


@dataclass(frozen=True, eq=False)
class Legs:
    """The legs of n requests.

    through_ms [n]: when the upload, which takes upload_ms [n], is through. reply: see ReplyTimes.
    """

    through_ms: FloatArray
    upload_ms: FloatArray
    reply: ReplyTimes

    @cached_property
    def reply_ms(self) -> FloatArray:
        """What a reply takes [n] that leaves when the upload is through."""
        return self.reply_after(np.zeros_like(self.upload_ms))

    def reply_after(self, later_ms: FloatArray, part: slice = ALL_REQUESTS) -> FloatArray:
        """What the replies of the k requests in `part` take that leave later_ms [k] or [k, m] after their upload's end.

        In the shape of later_ms, or [k, 1] where it does not matter when a reply leaves.
        """
        return self.reply(_beside(self.through_ms[part], later_ms) + later_ms, part)


class NetworkModel(ABC):
    """A network that requests are sent through. text: what names it."""

    text: str

    @abstractmethod
    def sample(self, at_ms: FloatArray, rng: np.random.Generator, sizes: Sizes, first: int = 0) -> Legs:
        """Draw the legs of n requests that begin at at_ms [n], ms since the start; the first is number `first`."""

    @abstractmethod
    def reply_points(self, legs: Legs, sizes: Sizes, first: int = 0) -> FloatArray:
        """The true distribution of each reply of `legs`, given its upload, as equally likely times [n or 1, k].

        Outages are not foreseen; a trace's replies are those at any time.
        """

    @abstractmethod
    def link_ms(self, n: int, sizes: Sizes, first: int = 0) -> FloatArray:
        """What upload and reply take together in the mean, [n, 1] or [1, 1], for n requests from number `first` on."""


def find(text: str, seed: int = 0) -> NetworkModel:
    """The network that `text` names. seed: of the synthetic traces.

    Raises UsageError where it names none, OnDeviceError with the line for a file that does not hold a trace.
    """
    if text.startswith("trace:"):
        return _trace(text, seed)
    kind, settings = notation.parse(text)
    words.known(kind, [*distributions.KINDS, "trace"], "network")
    drift, outage = _disturbances(settings)
    return DrawnNetwork(text, distributions.parse(text, kind, settings), drift, outage)


def _trace(text: str, seed: int) -> NetworkModel:
    match = _TRACE.fullmatch(text)
    if not match or not match["name"]:
        raise UsageError(f"{notation.shortened(text)}: write trace:NAME_OR_FILE, or trace:NAME_OR_FILE,rtt=MS")
    _, settings = notation.parse(f"trace:{match['settings'] or ''}")
    drift, outage = _disturbances(settings)
    if drift != NO_DRIFT:
        raise UsageError(f"{notation.shortened(text)}: a trace changes by itself; drift is for the other networks")
    rtt_ms = notation.parse_numbers("trace:", settings, {"rtt": Bounds(default=0.0)})["rtt"]
    return TracedNetwork(text, *networks.find(match["name"], seed), rtt_ms, outage)


def _disturbances(settings: dict[str, str]) -> tuple[Drift, Outage | None]:
    """The disturbances that every network may have, taken out of its settings."""
    drift, outage = settings.pop("drift", None), settings.pop("outage", None)
    return Drift.of(drift) if drift else NO_DRIFT, Outage.of(outage) if outage else None


@dataclass(frozen=True, eq=False)
class DrawnNetwork(NetworkModel):
    """Legs drawn from a distribution, whatever their bytes."""

    text: str
    distribution: LegDistribution
    drift: Drift = NO_DRIFT
    outage: Outage | None = None

    def sample(self, at_ms: FloatArray, rng: np.random.Generator, sizes: Sizes, first: int = 0) -> Legs:
        """Draw the legs of n requests, each leg as long as its drift and its outages make it."""
        upload_ms, reply_ms = self.distribution.draw(len(at_ms), rng)
        if self.drift != NO_DRIFT:
            factors = self.drift.factors(first, len(at_ms))
            upload_ms, reply_ms = upload_ms * factors, reply_ms * factors
        return _legs(at_ms, upload_ms, lambda leaves_ms, part: _beside(reply_ms[part], leaves_ms), self.outage)

    def reply_points(self, legs: Legs, sizes: Sizes, first: int = 0) -> FloatArray:
        """The distribution of each reply given its upload, as it drifts."""
        if self.drift == NO_DRIFT:
            return self.distribution.reply_points(legs.upload_ms)
        factors = self.drift.factors(first, len(legs.upload_ms))
        return self.distribution.reply_points(legs.upload_ms / factors) * factors[:, None]

    def link_ms(self, n: int, sizes: Sizes, first: int = 0) -> FloatArray:
        """Twice the mean of a leg, as it drifts."""
        return 2 * self.distribution.leg_ms * self.drift.factors(first, n)[:, None]


@dataclass(frozen=True, eq=False)
class TracedNetwork(NetworkModel):
    """Bytes through two traces, each request's as if alone on the link, and half the round trip on each leg.

    A request's first byte is offered when it begins, its reply's when that leaves; the traces go on meanwhile.
    """

    text: str
    up: Trace
    down: Trace
    rtt_ms: float
    outage: Outage | None = None

    def sample(self, at_ms: FloatArray, rng: np.random.Generator, sizes: Sizes, first: int = 0) -> Legs:
        """The legs of n requests that begin at at_ms [n]; nothing is drawn, for the traces say all."""
        upload_ms = self.up.passed_ms(at_ms, sizes.up_bytes) - at_ms + self.rtt_ms / 2

        def reply(leaves_ms: FloatArray, part: slice) -> FloatArray:
            return self.down.passed_ms(leaves_ms, sizes.down_bytes) - leaves_ms + self.rtt_ms / 2

        return _legs(at_ms, upload_ms, reply, self.outage)

    def reply_points(self, legs: Legs, sizes: Sizes, first: int = 0) -> FloatArray:
        """The distribution of the replies at any time, whatever the uploads took."""
        return self._moments(sizes)[1]

    def link_ms(self, n: int, sizes: Sizes, first: int = 0) -> FloatArray:
        """What upload and reply take together in the mean, at any time."""
        return self._moments(sizes)[0]

    def _moments(self, sizes: Sizes) -> tuple[FloatArray, FloatArray]:
        """The mean of both legs [1, 1], and points of the reply [1, k], over the whole of the traces."""
        if sizes not in self._known:
            rng = np.random.default_rng(0)
            at_ms = rng.uniform(0, 10 * max(self.up.period_ms, self.down.period_ms), _TRACE_SAMPLES)
            legs = TracedNetwork(self.text, self.up, self.down, self.rtt_ms).sample(at_ms, rng, sizes)
            points = np.quantile(legs.reply_ms, MIDDLES)[None]
            self._known[sizes] = np.full((1, 1), (legs.upload_ms + legs.reply_ms).mean()), points
        return self._known[sizes]

    @cached_property
    def _known(self) -> dict[Sizes, tuple[FloatArray, FloatArray]]:
        return {}


def _legs(at_ms: FloatArray, upload_ms: FloatArray, reply: ReplyTimes, outage: Outage | None) -> Legs:
    """Legs that begin at at_ms [n], and stand still in outages."""
    if outage is None:
        return Legs(at_ms + upload_ms, upload_ms, reply)
    upload_ms = outage.stretched_ms(at_ms, upload_ms)
    return Legs(
        at_ms + upload_ms,
        upload_ms,
        lambda leaves_ms, part: outage.stretched_ms(leaves_ms, reply(leaves_ms, part)),
    )


def _beside(row_ms: FloatArray, other_ms: FloatArray) -> FloatArray:
    """The times row_ms [n] in a shape that broadcasts with other_ms, [n] or [n, m]."""
    return row_ms if other_ms.ndim == 1 else row_ms[:, None]
