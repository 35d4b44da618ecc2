"""What a Ray of this machine alone is started with, and what is left of it: it begins and ends with the command."""

from __future__ import annotations

import contextlib
import fcntl
import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from ondevice import words
from ondevice.cloud.ray import environment, remains
from ondevice.errors import ServeError

# What replicas hand each other by Ray is a few kB of learned times; Ray takes no less.
_STORE_BYTES = 80 << 20
# Ray's processes end within 2 s of being told so, on a machine that is busy.
_ENDING_S = 5.0
# The longest name of a folder for all that: HAProxy's socket lies 70 characters below, and its path may have 97.
_LONGEST = 26
_PREFIX, _OWNER, _TOKEN = "ondevice-", "owner", "token"


class EmbeddedRay:
    """Its folder, with a token made for this run. connections, send_s, idle_s: the limits that HAProxy keeps.

    variables: the environment of its driver. Raises ServeError.
    """

    def __init__(self, connections: int, send_s: float, idle_s: float) -> None:
        self.folder = _made()
        self._owned = _own(self.folder)
        token = self.folder / _TOKEN
        token.touch(0o600)
        token.write_text(secrets.token_hex(32))
        self.variables = environment.embedded(self.folder, token, connections, send_s, idle_s)

    def options(self, cpus: int) -> dict[str, Any]:
        """What `ray.init` is told. cpus: how many may compute at once."""
        return {
            "address": "local",
            "num_cpus": cpus,
            "include_dashboard": False,
            "object_store_memory": _STORE_BYTES,
            # Ray lets every user write to this one.
            "_temp_dir": str(self.folder / "r"),
        }

    def remove(self) -> None:
        """End what is left of its processes, and remove its folder."""
        _remove(self.folder, _ENDING_S)
        self._owned.close()


def _made() -> Path:
    """A folder for this user alone."""
    candidates: Sequence[str | None] = (None, "/tmp")
    try:
        for within in candidates:
            made = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=within))
            _sweep(made.parent)
            if len(str(made)) <= _LONGEST:
                return made
            made.rmdir()
    except OSError as error:
        raise ServeError(f"no folder for Ray: {words.reason(error)}") from error
    raise ServeError(f"{tempfile.gettempdir()} is too long a name for sockets to lie in: set TMPDIR to a shorter one")


def _own(folder: Path) -> IO[bytes]:
    """A lock that says, for as long as it is open, that somebody uses this folder."""
    unnamed = folder / "new"
    owned = unnamed.open("wb")
    fcntl.flock(owned, fcntl.LOCK_EX)
    unnamed.rename(folder / _OWNER)  # else it could be taken for free before it is locked
    return owned


def _sweep(within: Path) -> None:
    """End and remove what commands that were killed have left."""
    for path in within.glob(f"{_PREFIX}*/{_OWNER}"):
        with contextlib.suppress(OSError), path.open("ab") as owned:  # it is another user's, or in use
            fcntl.flock(owned, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path.parent, 0.0)


def _remove(folder: Path, patience_s: float) -> None:
    remains.end(environment.mark(folder / _TOKEN), patience_s)
    shutil.rmtree(folder, ignore_errors=True)
