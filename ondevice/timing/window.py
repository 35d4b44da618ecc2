"""The last samples of what changes, in one piece, the recent ones weighing more. No clock is read here."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from ondevice.timing.arrays import FloatArray


class Weights(NamedTuple):
    """What n samples weigh: each [n], read-only, their sum, and the sum of their squares."""

    each: FloatArray
    total: float
    squares: float

    @classmethod
    def of(cls, each: FloatArray) -> Weights:
        """Any weights [n] above 0."""
        each = each.view()
        each.setflags(write=False)
        return cls(each, float(each.sum()), float(each.dot(each)))


@lru_cache
def fading(size: int, half_life: float) -> tuple[Weights, ...]:
    """For n samples from 0 to size, the oldest first: the newest weighs 1, and half as much half_life samples later."""
    each = 0.5 ** (np.arange(size - 1, -1, -1) / half_life)
    return tuple(Weights.of(each[size - n :]) for n in range(size + 1))


class Window:
    """The last `size` rows of `width` numbers; a row weighs half as much after `half_life` newer ones.

    count: how many rows were added since the beginning, or since `clear`.
    """

    def __init__(self, size: int, half_life: float, width: int = 1) -> None:
        # Every row is written twice, `size` apart: so the last ones always lie in one piece.
        self._ring = np.zeros((width, 2 * size))
        # Single numbers are written through this: numpy's own indexing takes three times as long.
        self._cells = self._ring.reshape(-1).data.cast("B").cast("d")
        self._size, self._weights = size, fading(size, half_life)
        self.count = 0

    def add(self, *row: float) -> None:
        """Take one more row, and forget the oldest of `size`."""
        size = self._size
        at = self.count % size
        for value in row:
            self._cells[at] = self._cells[at + size] = value
            at += 2 * size
        self.count += 1

    def clear(self) -> None:
        """Forget all rows."""
        self.count = 0

    @property
    def columns(self) -> FloatArray:
        """[width, n]: the rows that are kept, the oldest first. A view, which changes with the next row."""
        end = (self.count - 1) % self._size + self._size + 1
        return self._ring[:, end - min(self.count, self._size) : end]

    @property
    def weights(self) -> Weights:
        """What the rows of `columns` weigh, the newest 1."""
        return self._weights[min(self.count, self._size)]
