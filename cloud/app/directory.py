"""The models by name, and where each of them is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from ondevice.cloud.backends.backend import Backend
from ondevice.errors import NoRouteError
from ondevice.protocol import cnnselect
from ondevice.protocol.served import ServedModel

# A model, and the backend that has it.
ModelPlace = tuple[Backend, ServedModel]


class Directory:
    """Of the models of all backends; several may have one of a name."""

    def __init__(self, backends: Sequence[Backend]) -> None:
        self._places: dict[str, list[ModelPlace]] = {}
        for backend in backends:
            for served in backend.models:
                self._places.setdefault(served.name, []).append((backend, served))

    def __iter__(self) -> Iterator[ModelPlace]:
        """All of them, those of one name together."""
        return (place for places in self._places.values() for place in places)

    @property
    def names(self) -> list[str]:
        """What can be asked: the model that chooses first."""
        return [cnnselect.NAME, *self._places]

    def everywhere(self, model: str) -> Sequence[ModelPlace]:
        """All of that name. Raises NoRouteError."""
        if model == cnnselect.NAME:
            others = ", ".join(self._places)
            raise NoRouteError(f"{model} is not loaded or unloaded itself: name one of {others}", 404)
        if model not in self._places:
            raise NoRouteError(f"no model '{model[:100]}': there are {', '.join(self.names)}", 404)
        return self._places[model]

    def find(self, model: str) -> ModelPlace:
        """One of that name, which is available if any of them is. Raises NoRouteError.

        Where it can, one with the tensors of the first: who has read its metadata sends those.
        """
        places = self.everywhere(model)
        first = places[0]
        if _able(first):  # as nearly always
            return first
        own, able = first[1], [place for place in places if _able(place)]
        alike = ((b, s) for b, s in able if (s.input, s.output) == (own.input, own.output))
        return next(alike, able[0] if able else first)

    def chosen(self) -> Mapping[str, Sequence[ModelPlace]]:
        """By name the places of those that can be chosen: of known accuracy; that whose answer is expected first leads.

        One that is available comes before one that is not.
        """
        rated = {name: [place for place in at if place[1].top1 is not None] for name, at in self._places.items()}
        return {name: sorted(places, key=_expected) for name, places in rated.items() if places}

    def at(self, backend: Backend, model: str) -> ServedModel:
        """That of a backend that has it."""
        first, own = self._places[model][0]
        return own if first is backend else next(served for at, served in self._places[model] if at is backend)


def _able(place: ModelPlace) -> bool:
    backend, served = place
    return backend.available(served.name) and backend.ready()


def _expected(place: ModelPlace) -> tuple[bool, float]:
    """For sorting: whether it is not available, and its mean time, ms."""
    backend, served = place
    return not _able(place), backend.times.profile(served.name).mean_ms
