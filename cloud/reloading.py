"""SIGHUP: the files that say who may ask are read again, and the server goes on; unless its terminal has gone."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from ondevice.errors import UsageError


class Reloadable(Protocol):
    """What was read from files."""

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those files."""

    def reload(self) -> None:
        """Read them again. Raises UsageError, and stays as it was."""


class Reloading:
    """files: what is read again, by the flags that name it; None: not given. tell: called with an event and its fields.

    A terminal that goes sends SIGHUP too: what was started in it is to end then, as with SIGTERM; not so what was
    started with `nohup`.
    """

    def __init__(self, files: Mapping[str, Reloadable | None], tell: Callable[..., None]) -> None:
        self._files = {flag: file for flag, file in files.items() if file is not None}
        self._tell = tell
        self._in_terminal = signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN and _has_terminal()

    def watch(self) -> None:
        """Do so on SIGHUP, from now on."""
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._hung_up)

    def _hung_up(self) -> None:
        if self._in_terminal and not _has_terminal():
            self._tell("terminal gone")
            signal.raise_signal(signal.SIGTERM)
            return
        for flag, file in self._files.items():
            try:
                _reload(file)
            except UsageError as error:
                self._tell("not reloaded", flag=flag, error=f"{error}; what was read before still holds")
            else:
                self._tell("reloaded", flag=flag)


def _reload(file: Reloadable) -> None:
    for path in file.paths:
        # A pipe gives what it has once, and then lets its reader wait.
        if not path.is_file():
            raise UsageError(f"{path}: is not a file that can be read again")
    file.reload()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True
