"""What a function gives in a process that is forked from this one, or how that process ended."""

from __future__ import annotations

import os
import pickle
import signal
import threading
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

T = TypeVar("T")

# Longer than anything that ends at all takes on the slowest machine.
PATIENCE_S = 60.0


def forked(call: Callable[..., T], *arguments: Any, patience_s: float = PATIENCE_S) -> T:
    """What it gives there. The process is killed where it takes too long: a hang is a failure, as its death is."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # from Python 3.12 on, of a process that has threads
        child = os.fork()
    if child == 0:
        _become(call, arguments, writing)
    os.close(writing)
    killing = threading.Timer(patience_s, os.kill, (child, signal.SIGKILL))
    killing.start()
    try:
        with open(reading, "rb") as said:  # noqa: PTH123
            told = said.read()
    finally:
        killing.cancel()
        killing.join()
        _, status = os.waitpid(child, 0)
    code = os.waitstatus_to_exitcode(status)
    assert code != -signal.SIGKILL, f"the forked process did not end within {patience_s:g} s"
    assert code == 0, f"the forked process ended with {code}"
    good, result = pickle.loads(told)
    assert good, result
    return result  # type: ignore[no-any-return]


def _become(call: Callable[..., Any], arguments: tuple[Any, ...], writing: int) -> NoReturn:
    """Be the process that does this; what it raises is told as text."""
    try:
        told = pickle.dumps((True, call(*arguments)))
    except BaseException:
        told = pickle.dumps((False, traceback.format_exc()))
    with open(writing, "wb") as out:
        out.write(told)
    os._exit(0)
