"""Which models stay in memory under a budget, and which go first: the least wanted."""

from __future__ import annotations

from collections.abc import Collection, Mapping

# A want is worth half after so many further requests.
_HALF_LIFE = 100.0
# A cold model takes others' place only when it is wanted clearly more, or two would push each other out for ever.
_CLEARLY, _AT_LEAST = 1.5, 3.0


class Residency:
    """Holds `resident` within `budget_bytes` (None: all fit); sizes are bytes, of all workers together."""

    def __init__(self, sizes: Mapping[str, int], budget_bytes: int | None) -> None:
        self.sizes, self.budget_bytes = dict(sizes), budget_bytes
        self.resident: set[str] = set()
        self._wanted = dict.fromkeys(sizes, 0.0)

    @property
    def used_bytes(self) -> int:
        """What the resident models take."""
        return sum(self.sizes[name] for name in self.resident)

    def fits(self, name: str) -> bool:
        """Whether there is room for this model, were it alone."""
        return self.budget_bytes is None or self.sizes[name] <= self.budget_bytes

    def record_demand(self, name: str) -> None:
        """A request was best served by this model, resident or not."""
        for other in self._wanted:
            self._wanted[other] *= 0.5 ** (1 / _HALF_LIFE)
        self._wanted[name] += 1

    def victims(self, name: str, keep: Collection[str] = ()) -> list[str] | None:
        """Who has to go, the least wanted first, for `name` to fit; None if even that is not enough."""
        if self.budget_bytes is None:
            return []
        need, out = self.used_bytes + self.sizes[name] - self.budget_bytes, []
        for other in sorted(self.resident - {name, *keep}, key=lambda n: (self._wanted[n], -self.sizes[n])):
            if need <= 0:
                break
            need -= self.sizes[other]
            out.append(other)
        return out if need <= 0 else None

    def swap(self, keep: Collection[str], allowed: Collection[str]) -> tuple[str, list[str]] | None:
        """The cold model among `allowed` that is worth loading now, and who goes for it; None if none is."""
        cold = [name for name in allowed if name not in self.resident and self._wanted[name] >= _AT_LEAST]
        for name in sorted(cold, key=lambda n: -self._wanted[n]):
            out = self.victims(name, keep)
            if out is not None and self._wanted[name] > _CLEARLY * sum(self._wanted[other] for other in out):
                return name, out
        return None
