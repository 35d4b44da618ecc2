"""What is asked of a server, and what comes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple


class ReplyHeaders(Mapping[str, str]):
    """Values by name, in any case. Of several with one name a list, with commas."""

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._values: dict[str, str] = {}
        for given, value in fields:
            name = given.lower()
            self._values[name] = f"{self._values[name]}, {value}" if name in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class HttpReply(NamedTuple):
    """What came back with status 200."""

    headers: ReplyHeaders
    body: bytes


class HttpRequest(NamedTuple):
    """What is asked; `path` begins at /v2."""

    method: str
    path: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
