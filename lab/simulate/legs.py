"""What the ways to the cloud and back take, drawn for many requests at once: networks named in text.

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

from ondevice.errors import UsageError
from ondevice.lab.link import networks
from ondevice.lab.link.trace import Trace
from ondevice.lab.simulate import distributions as pairs
from ondevice.lab.simulate import spec
from ondevice.lab.simulate.distributions import Pairs
from ondevice.lab.simulate.disturbances import NO_DRIFT, Drift, Outage
from ondevice.lab.simulate.spec import Bounds
from ondevice.timing.arrays import FloatArray

# So many requests at random times tell a trace's distribution.
_TRACE_SAMPLES = 4096
_TRACE = re.compile(r"trace:(?P<name>.*?)(?:,(?P<settings>[a-z_]+=.*))?", re.DOTALL)


class Sizes(NamedTuple):
    """Bytes that travel: the picture up, the reply down, their headers included."""

    up_bytes: int = 100_000
    down_bytes: int = 1_000


USUAL = Sizes()


# What a reply takes that leaves at leaves_ms [k] or [k, m], of the requests in a part of the n.
Reply = Callable[[FloatArray, slice], FloatArray]
EACH = slice(None)


@dataclass(frozen=True, eq=False)
class Legs:
    """The ways of n requests. through_ms [n]: when the upload, which takes upload_ms [n], is through. reply: see Reply.

    reply_ms [n]: what a reply takes that leaves when the upload is through.
    """

    through_ms: FloatArray
    upload_ms: FloatArray
    reply: Reply

    @cached_property
    def reply_ms(self) -> FloatArray:
        """See above."""
        return self.reply_after(np.zeros_like(self.upload_ms))

    def reply_after(self, later_ms: FloatArray, part: slice = EACH) -> FloatArray:
        """What the replies of the k requests in `part` take that leave later_ms [k] or [k, m] after their upload's end.

        As later_ms is, or [k, 1] where it does not matter when a reply leaves.
        """
        return self.reply(_beside(self.through_ms[part], later_ms) + later_ms, part)


class Network(ABC):
    """A network. text: what names it."""

    text: str

    @abstractmethod
    def sample(self, at_ms: FloatArray, rng: np.random.Generator, sizes: Sizes, first: int = 0) -> Legs:
        """The legs of n requests that begin at at_ms [n], ms since the start; the first of them is number `first`."""

    @abstractmethod
    def reply_points(self, legs: Legs, sizes: Sizes, first: int = 0) -> FloatArray:
        """[n or 1, k]: the true distribution of each reply of `legs`, given its upload, as equally likely times.

        Outages are not foreseen; a trace's replies are those at any time.
        """

    @abstractmethod
    def link_ms(self, n: int, sizes: Sizes, first: int = 0) -> FloatArray:
        """[n, 1] or [1, 1]: what upload and reply take together in the mean, for n requests from number `first` on."""


def find(text: str, seed: int = 0) -> Network:
    """The network that `text` names. seed: of the synthetic traces.

    Raises UsageError for what names none, OnDeviceError for a file that is no trace.
    """
    if text.startswith("trace:"):
        return _trace(text, seed)
    kind, settings = spec.split(text)
    spec.known(kind, [*pairs.FORMS, "trace"], "network")
    drift, outage = _changes(settings)
    return Drawn(text, pairs.of(text, kind, settings), drift, outage)


def _trace(text: str, seed: int) -> Network:
    match = _TRACE.fullmatch(text)
    if not match or not match["name"]:
        raise UsageError(f"{spec.shown(text)}: write trace:NAME_OR_FILE, or trace:NAME_OR_FILE,rtt=MS")
    _, settings = spec.split(f"trace:{match['settings'] or ''}")
    drift, outage = _changes(settings)
    if drift != NO_DRIFT:
        raise UsageError(f"{spec.shown(text)}: a trace changes by itself; drift is for the other networks")
    rtt_ms = spec.numbers("trace:", settings, {"rtt": Bounds(default=0.0)})["rtt"]
    return Traced(text, *networks.find(match["name"], seed), rtt_ms, outage)


def _changes(settings: dict[str, str]) -> tuple[Drift, Outage | None]:
    """What every network may have; taken out of its settings."""
    drift, outage = settings.pop("drift", None), settings.pop("outage", None)
    return Drift.of(drift) if drift else NO_DRIFT, Outage.of(outage) if outage else None


@dataclass(frozen=True, eq=False)
class Drawn(Network):
    """Legs drawn from a distribution, whatever their bytes."""

    text: str
    pairs: Pairs
    drift: Drift = NO_DRIFT
    outage: Outage | None = None

    def sample(self, at_ms: FloatArray, rng: np.random.Generator, sizes: Sizes, first: int = 0) -> Legs:
        """See Network."""
        upload_ms, reply_ms = self.pairs.draw(len(at_ms), rng)
        if self.drift != NO_DRIFT:
            factors = self.drift.factors(first, len(at_ms))
            upload_ms, reply_ms = upload_ms * factors, reply_ms * factors
        return _legs(at_ms, upload_ms, lambda leaves_ms, part: _beside(reply_ms[part], leaves_ms), self.outage)

    def reply_points(self, legs: Legs, sizes: Sizes, first: int = 0) -> FloatArray:
        """See Network."""
        if self.drift == NO_DRIFT:
            return self.pairs.reply_points(legs.upload_ms)
        factors = self.drift.factors(first, len(legs.upload_ms))
        return self.pairs.reply_points(legs.upload_ms / factors) * factors[:, None]

    def link_ms(self, n: int, sizes: Sizes, first: int = 0) -> FloatArray:
        """See Network."""
        return 2 * self.pairs.leg_ms * self.drift.factors(first, n)[:, None]


@dataclass(frozen=True, eq=False)
class Traced(Network):
    """Bytes through two traces, each request's as if alone on the link, and half the round trip on each way.

    A request's first byte is offered when it begins, its reply's when that leaves; the traces go on meanwhile.
    """

    text: str
    up: Trace
    down: Trace
    rtt_ms: float
    outage: Outage | None = None

    def sample(self, at_ms: FloatArray, rng: np.random.Generator, sizes: Sizes, first: int = 0) -> Legs:
        """See Network."""
        upload_ms = self.up.passed_ms(at_ms, sizes.up_bytes) - at_ms + self.rtt_ms / 2

        def reply(leaves_ms: FloatArray, part: slice) -> FloatArray:
            return self.down.passed_ms(leaves_ms, sizes.down_bytes) - leaves_ms + self.rtt_ms / 2

        return _legs(at_ms, upload_ms, reply, self.outage)

    def reply_points(self, legs: Legs, sizes: Sizes, first: int = 0) -> FloatArray:
        """See Network."""
        return self._seen(sizes)[1]

    def link_ms(self, n: int, sizes: Sizes, first: int = 0) -> FloatArray:
        """See Network."""
        return self._seen(sizes)[0]

    def _seen(self, sizes: Sizes) -> tuple[FloatArray, FloatArray]:
        """The mean of both legs [1, 1], and points of the reply [1, k], over the whole of the traces."""
        if sizes not in self._known:
            rng = np.random.default_rng(0)
            at_ms = rng.uniform(0, 10 * max(self.up.period_ms, self.down.period_ms), _TRACE_SAMPLES)
            legs = Traced(self.text, self.up, self.down, self.rtt_ms).sample(at_ms, rng, sizes)
            points = np.quantile(legs.reply_ms, pairs.LEVELS)[None]
            self._known[sizes] = np.full((1, 1), (legs.upload_ms + legs.reply_ms).mean()), points
        return self._known[sizes]

    @cached_property
    def _known(self) -> dict[Sizes, tuple[FloatArray, FloatArray]]:
        return {}


def _legs(at_ms: FloatArray, upload_ms: FloatArray, reply: Reply, outage: Outage | None) -> Legs:
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
    """row_ms [n] as it broadcasts with other_ms, [n] or [n, m]."""
    return row_ms if other_ms.ndim == 1 else row_ms[:, None]
