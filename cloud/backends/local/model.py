"""A model that is served here."""

from __future__ import annotations

from dataclasses import dataclass

from ondevice.cloud.backends.learning import Learned


@dataclass(frozen=True, eq=False)
class LocalModel:
    """row: its place. source: as workers know it, a name in the zoo or a path. size_bytes: in all workers together."""

    row: int
    source: str
    size_bytes: int
    known: Learned

    @property
    def name(self) -> str:
        """As clients know it."""
        return self.known.model
