"""What came, what a worker's time was worth to it, and what it took: whether more workers are needed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Traffic:
    """Sums since the start, which only grow.

    admitted: requests that were given a model. crowded_out: those that were not, or were let go after all, though an
    idle server could have answered them. price: over the admitted, the sum of what a worker's time cost, as a share of
    the most that can be made of it, from 0, where nobody waits, to 1. worked_s: for how long workers were kept by what
    was answered.
    """

    admitted: int = 0
    crowded_out: int = 0
    price: float = 0.0
    worked_s: float = 0.0

    def admit(self, fill: float) -> None:
        """One more was let in, into a queue that was filled so far, from 0 to 1.

        The price of a worker's time is the square of the fill (`selection.policies`), times what can be made of it.
        """
        self.admitted += 1
        self.price += fill * fill

    def crowd_out(self) -> None:
        """One more found no room beside the others."""
        self.crowded_out += 1

    def work(self, ms: float) -> None:
        """Something was answered that kept a worker for so long."""
        self.worked_s += ms / 1e3
