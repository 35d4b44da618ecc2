"""Which models can be chosen at this moment."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence

from ondevice.cloud.backends.backend import Backend
from ondevice.cloud.select.choice import Candidates, Place, Places
from ondevice.cloud.select.uploads import OfferedUploads
from ondevice.errors import RefusedError
from ondevice.protocol.served import ServedModel

# Of what changes as models come and go, so much is remembered: more than any operator has, and little memory.
_KEPT = 256
_Flags = Sequence[Sequence[bool]]


class Availability:
    """The models of all backends, as far as they can be chosen now. uploads: of all that can be chosen at all."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self.backends = tuple(backends)
        # The rows of those that can be chosen at all, and their names.
        self._rows = {backend: _rows(backend) for backend in backends}
        self.uploads = OfferedUploads(backend.models[row] for backend, rows in self._rows.items() for row in rows)
        # By which of them are available, and by name.
        self._known: dict[Hashable, Candidates] = {}

    def any_but(self, without: Collection[Place]) -> bool:
        """Whether any model can be chosen now that is none of these."""
        return any(any(flags) for flags in self._on([b for b in self.backends if b.ready()], without))

    def candidates(self, backends: Sequence[Backend], without: Collection[Place] = ()) -> Candidates:
        """All of these backends that can be chosen now. Raises RefusedError where that is nothing."""
        on = self._on(backends, without)
        candidates = self._candidates((tuple(backends), on), lambda: self._places(backends, on))
        if not candidates.places:
            rated = any(self._rows.values())
            unrated = "no model here has a known accuracy, so none can be chosen: ask one by its own name"
            raise RefusedError("no model with a known accuracy is available now" if rated else unrated, 1)
        return candidates

    def only(self, served: ServedModel, backend: Backend) -> Candidates:
        """This model alone."""
        return self._candidates((backend, served.name), lambda: ((backend, backend.models.index(served)),))

    def _on(self, backends: Sequence[Backend], without: Collection[Place]) -> tuple[tuple[bool, ...], ...]:
        """For each of the backends' models whether it can be chosen now."""
        if not without:
            return tuple(tuple(map(backend.available, self._rows[backend].values())) for backend in backends)
        return tuple(
            tuple(b.available(name) and (b, row) not in without for row, name in self._rows[b].items())
            for b in backends
        )

    def _places(self, backends: Sequence[Backend], on: _Flags) -> Places:
        rows = (
            (backend, zip(self._rows[backend], flags, strict=True)) for backend, flags in zip(backends, on, strict=True)
        )
        return tuple((backend, row) for backend, of_it in rows for row, is_on in of_it if is_on)

    def _candidates(self, key: Hashable, places: Callable[[], Places]) -> Candidates:
        known = self._known.get(key)
        if known is None:
            if len(self._known) >= _KEPT:
                self._known.clear()
            known = self._known[key] = Candidates(places(), self.uploads)
        return known


def _rows(backend: Backend) -> dict[int, str]:
    return {row: served.name for row, served in enumerate(backend.models) if served.top1 is not None}
