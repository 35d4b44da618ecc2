"""Words for messages: what the system says of a failure, and what may be meant by a name that there is not."""

from __future__ import annotations

import errno
import os
import shlex
from collections.abc import Collection, Iterable, Sequence
from pathlib import PurePath

from ondevice.errors import UsageError

# Lower than difflib's own 0.6, so that a part of a name finds it: "mobilenet" is 0.5 like mobilenet_v2_1.0_224_quant,
# "lite0" 0.43 like efficientnet_lite0.
_ALIKE = 0.4
# Models' names are at most that long; comparing takes the product of both lengths, and strangers give words too.
_LONGEST = 100
# Of a longer word the beginning is shown, which leaves room for the rest of a line.
_SHOWN = 60
# So many names fill a line.
_MOST_NAMES = 5


def reason(error: Exception) -> str:
    """Why a file or a connection could not be had: the system's words in lower case, one line.

    Not asyncio's, which put the address where the meaning of the errno belongs.
    """
    if isinstance(error, UnicodeError):
        return "it is not text in UTF-8"
    if type(error).__module__.startswith("ondevice."):  # our own, in our words
        return str(error)
    if isinstance(error, OSError) and error.errno == errno.EBADF:
        return "it is closed"
    said = error.strerror if isinstance(error, OSError) else None
    # Only in Python's own classes is errno the system's: resolvers and TLS have numbers of their own.
    if isinstance(error, OSError) and error.errno and type(error).__module__ == "builtins":
        said = os.strerror(error.errno)
    return (said or str(error) or type(error).__name__).splitlines()[0].lower()


def typed(*command: object) -> str:
    """A command to type, between back-quotes: a shell takes every argument as it is, whatever is in it."""
    return f"`{shlex.join(map(str, command))}`"


def shown(text: str) -> str:
    """A stranger's text for a message: the beginning of a long one."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def nearest(word: str, words: Collection[str]) -> list[str]:
    """Those most like `word` in any case, best first, at most three."""
    import difflib

    folded = {known.lower(): known for known in words}
    return [folded[near] for near in difflib.get_close_matches(word[:_LONGEST].lower(), folded, cutoff=_ALIKE)]


def suggestion(word: str, words: Collection[str], otherwise: str = "") -> str:
    """What to say after "no such …": which of `words` may be meant, or else `otherwise`, or else all that there are."""
    if near := nearest(word, words):
        return f"did you mean {', '.join(near)}?"
    return otherwise or f"there are {', '.join(words) or 'none'}"


def known(word: str, words: Collection[str], what: str) -> str:
    """`word`, which must be among `words`. Raises UsageError with those nearest to it. what: such as `policy`."""
    if word in words:
        return word
    raise UsageError(f"no {what} {shown(word)!r}; {suggestion(word, words)}")


def apart(paths: Iterable[PurePath]) -> dict[PurePath, str]:
    """The shortest end of each path that none of the others has, such as `a/model` and `b/model`."""
    every = {*paths}
    return {path: _own_end(path, every - {path}) for path in every}


def _own_end(path: PurePath, others: Collection[PurePath]) -> str:
    for length in range(1, len(path.parts)):
        end = path.parts[-length:]
        if all(other.parts[-length:] != end for other in others):
            return str(PurePath(*end))
    return str(path)


def first_few(names: Sequence[str]) -> str:
    """The first of the names, and how many more there are."""
    rest = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {rest} more" if rest > 0 else "")


def counted(number: int, what: str) -> str:
    """`1 picture`, `2 pictures`."""
    return f"{number} {what}{'' if number == 1 else 's'}"
