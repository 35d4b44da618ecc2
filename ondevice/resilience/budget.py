"""What all requests together may hold of something, such as bytes of bodies in memory."""

from __future__ import annotations

from collections.abc import Callable


class Budget:
    """So much there is of it in all. A share may be at most half of what is left: the small find room before the large.
    Where nothing is held, it may be all.

    Who finds no room waits, holding nothing, so that nobody waits for each other; when some is given back, all that fit
    get theirs, in the order in which they came.
    """

    def __init__(self, total: int) -> None:
        self.total, self.held = total, 0
        self._waiting: dict[Allotment, None] = {}

    @property
    def waiting(self) -> int:
        """How many wait for their share."""
        return len(self._waiting)

    def take(self, amount: int, granted: Callable[[], object]) -> Allotment:
        """Ask for a share of up to the total; `granted` is called if it comes later than now."""
        share = Allotment(self, amount, granted)
        if self.fits(amount):
            share.granted = True
            self.held += amount
        else:
            self._waiting[share] = None
        return share

    def fits(self, amount: int) -> bool:
        """Whether there is room for so much more now."""
        return 2 * amount <= self.total - self.held or (not self.held and amount <= self.total)

    def returned(self, amount: int) -> None:
        """So much is held no more: let those have it that wait for their shares."""
        self.held -= amount
        if self._waiting:
            self._serve()

    def forget(self, share: Allotment) -> None:
        """It is waited for no more."""
        self._waiting.pop(share, None)

    def _serve(self) -> None:
        served = []
        for share in self._waiting:
            if self.fits(share.amount):
                share.granted = True
                self.held += share.amount
                served.append(share)
        for share in served:
            del self._waiting[share]
            share.tell()


class Allotment:
    """A part of a budget. granted: whether it is held, or still waited for."""

    __slots__ = ("_budget", "amount", "granted", "tell")

    def __init__(self, budget: Budget, amount: int, tell: Callable[[], object]) -> None:
        self._budget, self.amount, self.tell = budget, amount, tell
        self.granted = False

    def grow(self, amount: int) -> bool:
        """Hold so much instead, which is more, if there is room for the difference; it is not waited for."""
        if not self._budget.fits(amount - self.amount):
            return False
        self._budget.held += amount - self.amount
        self.amount = amount
        return True

    def give_back(self) -> None:
        """Hold and wait for nothing more; once or often."""
        if self.granted:
            self._budget.returned(self.amount)
            self.amount = 0
        else:
            self._budget.forget(self)
