"""Bearer tokens: who may use the endpoint."""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from ondevice.errors import UsageError
from ondevice.models import files

# 16 characters of hex are 64 bits: more than can be tried over a network.
_SHORTEST = 16


class Tokens:
    """The tokens of a file, one a line; blank lines and lines that begin with # are none.

    Only their hashes are kept. Raises UsageError where there is none, or a token can be guessed.
    """

    def __init__(self, path: Path) -> None:
        self.paths = (path,)
        self._hashes = _read(path)

    def reload(self) -> None:
        """Those that the file has now are the tokens. Raises UsageError, and keeps those that there were."""
        self._hashes = _read(*self.paths)

    def allow(self, authorization: str) -> bool:
        """Whether this Authorization header carries one of them. Takes as long for any that is wrong."""
        scheme, _, token = authorization.partition(" ")
        given = _hash(token.strip())
        matches = [hmac.compare_digest(given, known) for known in self._hashes]
        return any(matches) and scheme.lower() == "bearer"


def _read(path: Path) -> list[bytes]:
    """The tokens' hashes."""
    tokens = files.filled_lines(path)
    if not tokens:
        raise UsageError(f"{path}: has no token; put one on each line, such as `openssl rand -hex 32` makes")
    if min(map(len, tokens)) < _SHORTEST:
        raise UsageError(f"{path}: a token under {_SHORTEST} characters can be guessed; make them longer")
    return [_hash(token) for token in tokens]


def _hash(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()
