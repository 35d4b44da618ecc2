"""Fits the time model to a device's published latencies, borrowing from other devices what they alone cannot tell.

Published latencies are few: of one or two architectures they tell how fast a device is, not how its kinds of work
compare. So the *proportions* between the kinds are borrowed from the devices that have many architectures: one factor
on them is the device's speed, its overhead is its own, and each figure may leave its proportion at a price (ridge
regression towards the borrowed proportions; Hoerl and Kennard 1970). All errors are relative, because a millisecond
matters for a network of 3 ms and not for one of 500; no figure is below 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import NamedTuple

import numpy as np

from ondevice.devices.network import Workload
from ondevice.devices.timemodel import TimeModel, terms
from ondevice.timing.arrays import FloatArray

# Two figures (speed and overhead) need more than two latencies, or there is nothing to leave out.
MIN_MODELS = 4
# Devices that lend their proportions have at least as many architectures as the time model has figures: networks of one
# architecture tell little of how its kinds of work compare.
MIN_ARCHITECTURES = 6
# Latencies are published, and repeat, to about 5 %; a figure is within half of its proportion on the devices that
# have many architectures. What counts is their ratio: 2 and 5 times it give nearly the same errors.
NOISE, SCATTER = 0.05, 0.5
# Proportions and speeds are fitted in turn; after 20 turns they stand still in the fourth digit.
_TURNS = 20
# A kind of work that costs the lenders nothing may still be so much of a device's time.
_SHARE = 0.05
# Of squared errors: what rounding alone makes of a perfect fit.
_TIE = 1e-12


class Published(NamedTuple):
    """n networks on one device and kind of kernel: their work, mean times in ms, and architectures' names."""

    work: tuple[Workload, ...]
    ms: tuple[float, ...]
    architectures: tuple[str, ...]

    @property
    def lends(self) -> bool:
        """Whether it has architectures enough to tell the proportions between kinds of work."""
        return len(set(self.architectures)) >= MIN_ARCHITECTURES

    def rows(self) -> FloatArray:
        """[n, 6]: each network's terms over its time, so that a TimeModel times a row is to be 1."""
        found: FloatArray = np.array([terms(work) for work in self.work]) / np.array(self.ms)[:, None]
        return found

    def only(self, kept: Sequence[bool]) -> Published:
        """The networks marked in kept [n]."""
        chosen = [i for i, keep in enumerate(kept) if keep]
        names = tuple(self.architectures[i] for i in chosen)
        return Published(tuple(self.work[i] for i in chosen), tuple(self.ms[i] for i in chosen), names)


def proportions(lenders: Sequence[Published]) -> FloatArray:
    """[5]: what the kinds of work cost, the same for all lenders but for each one's speed and overhead; the first is 1.

    Every device weighs the same, however many networks it has. Raises ValueError without lenders.
    """
    if not lenders:
        raise ValueError("no device has architectures enough to lend the proportions between kinds of work")
    rows = [each.rows() for each in lenders]
    found: FloatArray = 1 / np.mean([each[:, 1:].mean(axis=0) for each in rows], axis=0)
    for _ in range(_TURNS):
        shares = [_share(each, found) for each in rows]
        found = least_squares(np.vstack([part for part, _ in shares]), np.concatenate([rest for _, rest in shares]))
        found = found / found[0] if found[0] > 0 else found
    return found


def _share(rows: FloatArray, found: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A device's part in the proportions: its rows at its own speed, and what its overhead leaves of each."""
    overhead, speed = _own(rows, found)
    weight = 1 / np.sqrt(len(rows))
    return rows[:, 1:] * speed * weight, (1 - rows[:, 0] * overhead) * weight


def fit(published: Published, borrowed: FloatArray) -> TimeModel:
    """The time model of a device; borrowed: what `proportions` gives of others."""
    rows = published.rows()
    _, speed = _own(rows, borrowed)
    expected = borrowed * speed
    slack = SCATTER * np.maximum(expected, _SHARE / rows[:, 1:].mean(axis=0))
    ridge = np.column_stack([np.zeros(len(slack)), np.diag(NOISE / slack)])
    targets = np.concatenate([np.ones(len(rows)), expected * NOISE / slack])
    return TimeModel(*least_squares(np.vstack([rows, ridge]), targets).tolist())


def _own(rows: FloatArray, borrowed: FloatArray) -> tuple[float, float]:
    """The device's overhead in ms and its speed: the factor on the borrowed proportions."""
    # The speed first: where one network is all that is known, both explain it, and overheads are small.
    speed, overhead = least_squares(np.column_stack([rows[:, 1:] @ borrowed, rows[:, 0]]), np.ones(len(rows))).tolist()
    return overhead, speed


def left_out(published: Published, borrowed: FloatArray, groups: Sequence[object]) -> FloatArray:
    """Relative errors [n]: every network predicted by a fit without those of its group; NaN where none are left."""
    errors = np.full(len(groups), np.nan)
    for group in dict.fromkeys(groups):
        kept = [other != group for other in groups]
        if any(kept):
            model = fit(published.only(kept), borrowed)
            for i, keep in enumerate(kept):
                if not keep:
                    errors[i] = model(published.work[i]) / published.ms[i] - 1
    return errors


def least_squares(matrix: FloatArray, target: FloatArray) -> FloatArray:
    """[k]: the x with no negative part and the least |matrix x - target|, for a matrix [n, k] of a few columns.

    Tries which columns are used, all 2^k ways: with six that is exact, and needs no library. Where several are as
    good, fewer and earlier columns are used.
    """
    columns = matrix.shape[1]
    best, least = np.zeros(columns), float(target @ target)
    for size in range(1, columns + 1):
        for used in combinations(range(columns), size):
            part = matrix[:, used]
            found = np.linalg.lstsq(part, target, rcond=None)[0]
            missed = float(np.sum((part @ found - target) ** 2))
            if found.min() >= 0 and missed < least - _TIE:
                best, least = np.zeros(columns), missed
                best[list(used)] = found
    return best
