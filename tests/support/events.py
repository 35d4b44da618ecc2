"""What is told as it happens, kept in its order."""

from __future__ import annotations

from typing import Any


class Events(list[tuple[str, dict[str, Any]]]):
    """To be given to whatever tells events: each one's name and its fields."""

    def __call__(self, event: str, **fields: Any) -> None:
        self.append((event, fields))

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self]

    def named(self, event: str) -> list[dict[str, Any]]:
        return [fields for name, fields in self if name == event]

    def models(self, event: str) -> list[str]:
        """The models to which this happened."""
        return [fields["model"] for fields in self.named(event)]
