"""Anytime replies: which few models answer one request, so that the best answer there by the deadline is a good one.

Each answer is sent as soon as it is ready, on the same response; the client keeps the best of those that it has at the
deadline. So a fast model stands in where the reply takes longer than was to be expected, and a slow one counts where it
does not: less need be known of the reply, and it is paid for in server time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from math import comb

import numpy as np

from ondevice.errors import UsageError
from ondevice.selection.ontime import on_time
from ondevice.selection.problem import Models, Requests
from ondevice.timing.arrays import FloatArray, IndexArray

# Accuracy that as much server time as the most accurate model takes must bring: one more right answer in a hundred.
PRICE_TOP1 = 0.01
# More sets than this are slow to weigh, and no better.
_MOST_CHAINS = 5000
# At no price at all a model that brings nothing would be as good as none.
_LEAST_PRICE = 1e-9


@dataclass(frozen=True, eq=False)
class Chains:
    """The c sets of models that one request may get: all sets of 1 to k of the m models.

    members [c, k]: indices of models, each row ascending in accuracy, and with -1 in front where there are fewer.
    side_by_side: whether a set's models all begin at once, each with a worker of its own, or, in the order of the row,
    one after the other.
    """

    members: IndexArray
    side_by_side: bool = True

    @classmethod
    def of(cls, models: Models, most: int = 2, side_by_side: bool = True) -> Chains:
        """The sets of at most `most`. They depend on accuracies [m], not on times: make them once for these models.

        Of equally accurate models the one that is slower now stands first. Raises UsageError for a `most` below 1, and
        where there would be more than 5000 sets.
        """
        if most < 1:
            raise UsageError(f"at least one model must answer, not {most}")
        order: list[int] = np.lexsort((-models.mean_ms, models.top1)).tolist()
        rows: list[list[int]] = []
        for size in range(1, min(most, len(order)) + 1):
            rows += [[-1] * (most - size) + list(chosen) for chosen in combinations(order, size)]
            if len(rows) > _MOST_CHAINS:
                raise UsageError(f"{len(order)} models have more than {_MOST_CHAINS} sets of up to {most}; allow fewer")
        return cls(np.array(rows, np.intp), side_by_side)

    def __len__(self) -> int:
        return len(self.members)

    def __getitem__(self, row: int) -> tuple[int, ...]:
        """The models of a set, in the order in which they run or, side by side, are begun."""
        return tuple(self.members[row][self.members[row] >= 0].tolist())

    def cost_ms(self, models: Models) -> FloatArray:
        """The mean server time [c] of each set, all its models run to the end."""
        return self._runs @ models.mean_ms

    def chances(self, models: Models, requests: Requests) -> FloatArray:
        """The chance that the last answer of each set is there by the deadline, all before it having run: [n, c].

        One after the other, the quantiles of the times add up, as if a run that is slow were slow for all: that is so
        where load or heat is the cause, and where it is not, the chance is only blurred. What is in front of a set is
        the longest wait of its models. Side by side the last answer waits for no other.
        """
        last = self.members[:, -1]
        if self.side_by_side:
            return on_time(models, requests)[:, last]
        runs = self._runs
        times = (runs @ of_models for of_models in (models.mean_ms, models.std_ms, models.quantiles_ms))
        ends = Models(("",) * len(self), models.top1[last], *times)
        waits = np.broadcast_to(requests.wait_ms, (len(requests.wait_ms), len(models)))
        wait_ms = np.where(self.members >= 0, waits[:, self.members], -np.inf).max(axis=2)
        return on_time(ends, replace(requests, wait_ms=wait_ms))

    def gains(self, models: Models, requests: Requests) -> FloatArray:
        """The effective accuracy that each set is expected to add to the device's: [n, c].

        With a_1 <= … <= a_k what the models' accuracies are above the device's, at least 0, and P_j the chance of
        answer j to be on time, that is the sum over j of (a_j - a_j-1) P_j, a_0 = 0: exact where a better answer is
        never there without the worse one, and else too low.
        """
        above = np.maximum(models.top1 - requests.device_top1[:, None], 0.0)
        chances = self.chances(models, requests)
        last = self.members[:, -1]
        gains = above[:, last] * chances
        # A set is its last model, behind the set without it: (a_j - a_j-1) P_j, and what that set is expected to add.
        for row, before in self._before:
            gains[:, row] += gains[:, before] - above[:, last[before]] * chances[:, row]
        return gains

    @cached_property
    def _runs(self) -> FloatArray:
        """Which models each set has: 1 or 0, [c, m]."""
        models = int(self.members.max()) + 1
        runs: FloatArray = (self.members[:, :, None] == np.arange(models)).any(axis=1).astype(float)
        return runs

    @cached_property
    def _before(self) -> Sequence[tuple[slice, IndexArray]]:
        """For each size from 2 on: where its sets stand, and the set that each is without its last model."""
        rows = {self[row]: row for row in range(len(self))}
        sizes = (self.members >= 0).sum(axis=1)
        found = []
        for size in range(2, int(sizes.max()) + 1):
            of_size = np.flatnonzero(sizes == size)
            shorter = np.array([rows[self[row][:-1]] for row in of_size.tolist()], np.intp)
            found.append((slice(int(of_size[0]), int(of_size[-1]) + 1), shorter))
        return found


def largest(models: int, most: int) -> int:
    """The size, at most `most`, of the largest sets of so many models that `Chains` takes."""
    within = (size for size in range(most, 1, -1) if sum(comb(models, k) for k in range(1, size + 1)) <= _MOST_CHAINS)
    return next(within, 1)


def choose(models: Models, requests: Requests, chains: Chains, price_top1: float = PRICE_TOP1) -> IndexArray:
    """The set [n], a row of `chains`, with the greatest expected effective accuracy less the price of its server time.

    price_top1: the accuracy that is asked of as much server time as the most accurate model takes in the mean. Where
    nothing is gained by any, it is the model with the least server time.
    """
    most_accurate_ms = models.mean_ms[chains.members[:, -1]][models.top1[chains.members[:, -1]].argmax()]
    price = max(price_top1, _LEAST_PRICE) / max(float(most_accurate_ms), _LEAST_PRICE)
    chosen: IndexArray = (chains.gains(models, requests) - price * chains.cost_ms(models)).argmax(axis=1)
    return chosen
