"""What a Ray of this machine alone is started with, and what is left of it: it begins and ends with the command."""

from __future__ import annotations

import secrets
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ondevice import words
from ondevice.cloud.ray import environment, remains
from ondevice.errors import ServeError

# What replicas hand each other by Ray is a few kB of learned times; Ray takes no less.
_STORE_BYTES = 80 << 20
# Ray's processes end within 2 s of being told so, on a machine that is busy.
_ENDING_S = 5.0
# The longest name of a folder for all that: HAProxy's socket lies 70 characters below, and its path may have 97.
_LONGEST = 26


class EmbeddedRay:
    """Its folder, with a token made for this run. connections, send_s, idle_s: the limits that HAProxy keeps.

    variables: the environment of its driver. Raises ServeError.
    """

    def __init__(self, connections: int, send_s: float, idle_s: float) -> None:
        self.folder = _made()
        token = self.folder / "token"
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
        remains.end(str(self.folder), _ENDING_S)
        shutil.rmtree(self.folder, ignore_errors=True)


def _made() -> Path:
    """A folder for this user alone."""
    candidates: Sequence[str | None] = (None, "/tmp")
    try:
        for within in candidates:
            made = Path(tempfile.mkdtemp(prefix="ondevice-", dir=within))
            if len(str(made)) <= _LONGEST:
                return made
            made.rmdir()
    except OSError as error:
        raise ServeError(f"no folder for Ray: {words.reason(error)}") from error
    raise ServeError(f"{tempfile.gettempdir()} is too long a name for sockets to lie in: set TMPDIR to a shorter one")
