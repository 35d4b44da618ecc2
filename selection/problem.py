"""What a policy is given: the models' accuracies and times, and what is known of each request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from ondevice.errors import UsageError
from ondevice.timing.arrays import FloatArray
from ondevice.timing.distribution import Distribution, Distributions
from ondevice.timing.profile import Profile

# Times closer than a microsecond are the same: no clock here tells them apart, and it keeps divisions finite.
SAME_MS = 1e-3


@dataclass(frozen=True, eq=False)
class Models:
    """The m models to choose from. Made from arrays it checks nothing, and is cheap; `of` checks.

    names: m of them. top1 [m]: accuracies, fractions; [n, m] where they differ from request to request, as with what is
    sent of a picture. mean_ms [m], std_ms [m]: the inference's time where it would run. quantiles_ms [m, 21]: that
    time's quantiles at LEVELS.
    """

    names: tuple[str, ...]
    top1: FloatArray
    mean_ms: FloatArray
    std_ms: FloatArray
    quantiles_ms: FloatArray

    @classmethod
    def of(cls, top1: Mapping[str, float], profiles: Sequence[Profile]) -> Models:
        """The models of `profiles`, in that order, with the accuracy that `top1` has under their names.

        Raises UsageError where profiles is empty, a model stands twice, or one lacks an accuracy or a sound profile.
        """
        if not profiles:
            raise UsageError("no model to choose from: give at least one profile")
        twice = [name for name, count in Counter(profile.model for profile in profiles).items() if count > 1]
        if twice:
            raise UsageError(
                f"{twice[0]}: there are several profiles of it; give the one of the place where it would run"
            )
        for profile in profiles:
            _check(profile, top1.get(profile.model))
        return cls(
            names=tuple(profile.model for profile in profiles),
            top1=np.array([top1[profile.model] for profile in profiles], float),
            mean_ms=np.array([profile.mean_ms for profile in profiles], float),
            std_ms=np.array([profile.std_ms for profile in profiles], float),
            quantiles_ms=np.array([profile.quantiles_ms for profile in profiles], float),
        )

    def __len__(self) -> int:
        return len(self.names)

    @cached_property
    def times(self) -> Distributions:
        """Their times, by which chances are worked out."""
        return Distributions(self.quantiles_ms)

    @cached_property
    def surest(self) -> tuple[int, float]:
        """The model with the shortest longest time, and that time, ms."""
        row = int(self.quantiles_ms[:, -1].argmin())
        return row, float(self.quantiles_ms[row, -1])

    @cached_property
    def slowest_ms(self) -> float:
        """The longest of their mean times."""
        return float(self.mean_ms.max())

    def with_top1(self, top1: FloatArray) -> Models:
        """These models with other accuracies."""
        other = Models(self.names, top1, self.mean_ms, self.std_ms, self.quantiles_ms)
        other.__dict__["times"] = self.times  # worked out once for all
        return other

    def learned(self, row: int, known: Distribution) -> Models:
        """These models, with what is known now of the time of one of them."""
        mean_ms, std_ms, quantiles_ms = self.mean_ms.copy(), self.std_ms.copy(), self.quantiles_ms.copy()
        mean_ms[row], std_ms[row], quantiles_ms[row] = known.mean_ms, known.std_ms, known.quantiles_ms
        return Models(self.names, self.top1, mean_ms, std_ms, quantiles_ms)


def _check(profile: Profile, top1: float | None) -> None:
    if top1 is None:
        raise UsageError(f"{profile.model}: its accuracy is not known, so no policy can weigh it; give its top1")
    if not 0 <= top1 <= 1:
        raise UsageError(f"{profile.model}: top1 is a fraction from 0 to 1, not {top1:g}")
    if fault := profile.fault:
        raise UsageError(f"{profile.model}: {fault}; measure it again")


def filled(queue_ms: FloatArray, longest_ms: float) -> FloatArray:
    """The share, from 0 to 1, to which a queue is filled, as `Requests.fill` takes it.

    longest_ms: the queue with which the model that is likeliest on time is just in time; negative: not even with none.
    """
    fill: FloatArray = np.minimum(queue_ms / max(longest_ms, SAME_MS), 1.0)
    return fill


@dataclass(frozen=True, eq=False)
class Requests:
    """n requests, each with its deadline and what is known of its legs. Nothing is checked; all values must be finite.

    sla_ms [n]: the deadline, from the client's first byte sent. upload_ms [n]: what the upload took.
    return_ms [n]: what the reply is expected to take. The papers know only the upload, and take the same for the reply.
    wait_ms [n, m], or what broadcasts to it: between the upload's end and the reply's start, all but the inference:
    queue, loading, decoding.
    fill [n, m], or what broadcasts to it: the queue that newcomers find, as a share of the longest with which anything
    would be in time, from 0 to 1; for a rule that weighs what others lose. None: nobody waits.
    work_ms [n, m], or what broadcasts to it: the part of wait_ms for which a worker is kept as for the inference:
    loading, decoding. None: it has none.
    device_top1 [n] or [1]: the accuracy of the answer that the device has in any case; 0 where it has none.
    reply_ms [n, k]: k equally likely times of the reply, for `on_time`; None: it takes return_ms for certain.
    link_ms [n, 1] or [n, m]: an estimate of the whole network time (round trip plus bytes over bandwidth), for
    `layercake`; None: upload_ms + return_ms.
    """

    sla_ms: FloatArray
    upload_ms: FloatArray
    return_ms: FloatArray
    wait_ms: FloatArray = field(default_factory=lambda: np.zeros((1, 1)))
    device_top1: FloatArray = field(default_factory=lambda: np.zeros(1))
    reply_ms: FloatArray | None = None
    link_ms: FloatArray | None = None
    fill: FloatArray | None = None
    work_ms: FloatArray | None = None

    @classmethod
    def one(
        cls,
        sla_ms: float,
        upload_ms: float = 0.0,
        return_ms: float | None = None,
        device_top1: float = 0.0,
        **rows: FloatArray | Sequence[float] | float,
    ) -> Requests:
        """A single request. return_ms: None for the same as upload_ms. rows: reply_ms [k], the others [m]."""
        return cls(
            np.array([sla_ms], float),
            np.array([upload_ms], float),
            np.array([upload_ms if return_ms is None else return_ms], float),
            device_top1=np.array([device_top1], float),
            **{name: np.array(row, float, ndmin=2) for name, row in rows.items()},
        )

    def __len__(self) -> int:
        return len(self.sla_ms)

    @property
    def budget_ms(self) -> FloatArray:
        """What upload and reply leave of the deadline [n], the papers' T_budget or T_U; negative where it is past."""
        return self.sla_ms - self.upload_ms - self.return_ms
