"""Ctrl-C from the first line of the command line to its last: one line on standard error, and nothing left behind.

It imports next to nothing, for the first line of `main` is here.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import signal
import sys
import time
from types import FrameType
from typing import NoReturn

# What a shell makes of a process that SIGINT (2) has ended: 128 + 2.
STATUS = 130
_SAID = b"ondevice: error: interrupted\n"
# What an exception is not raised in may be over after so long, or after as long again; trying costs a twentieth of it.
_AGAIN_S = 0.001
_IMPORTING = "<frozen importlib._bootstrap>"
# Ctrl-C that is still to be raised.
_pressed: list[bool] = []


def begin() -> None:
    """From now on end at once: nothing is begun yet that would have to be undone."""
    _handle(_end)


def arm() -> None:
    """From now on raise KeyboardInterrupt, so that what was begun is undone."""
    sys.unraisablehook = _unraisable
    _handle(_interrupt)


def as_python_has_it() -> None:
    """Leave it to asyncio, which stops what it runs where it finds Python's own handler."""
    _handle(signal.default_int_handler)


def finish() -> None:
    """What was to be done is done, and the end takes a moment: only who presses twice does not wait for it.

    Raises KeyboardInterrupt where Ctrl-C came before and could not be raised yet.
    """
    _handle(lambda *_: _handle(_end))
    if _pressed:
        raise KeyboardInterrupt


def _handle(handler: signal._HANDLER) -> None:
    # What is ignored stays so: a shell has what it starts in the background ignore Ctrl-C.
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, handler)


def _end(number: int, frame: FrameType | None) -> NoReturn:
    with contextlib.suppress(OSError):
        os.write(2, _SAID)
    os._exit(STATUS)


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Raise it, but not in the middle of an import: extension modules print a traceback there, and say that another
    thing is wrong.
    """
    if _is_importing(frame):
        press_again()
    else:
        _pressed.clear()
        raise KeyboardInterrupt


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename == _IMPORTING:
            return True
        frame = frame.f_back
    return False


def press_again() -> None:
    """Ctrl-C that cannot be raised now: as if it came again soon. To be called on the main thread."""
    _pressed.append(True)
    come_again(signal.SIGINT)


def come_again(number: int) -> None:
    """Have a signal handled soon, what its handler raises being in the way now. To be called on the main thread."""
    _thread.start_new_thread(_again, (_thread.get_ident(), number))


def _again(main: int, number: int) -> None:
    time.sleep(_AGAIN_S)
    # A signal, where `_thread.interrupt_main` only leaves word: the thread may be waiting for a camera's next frame.
    signal.pthread_kill(main, number)


def _unraisable(found: sys.UnraisableHookArgs) -> None:
    """What was raised where nobody can catch it, as in a finalizer: Python prints it. Ctrl-C comes again."""
    if isinstance(found.exc_value, KeyboardInterrupt):
        press_again()
    else:
        sys.__unraisablehook__(found)
