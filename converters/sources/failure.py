"""What Keras and TensorFlow raise, in one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from ondevice.errors import ConvertError, UsageError

# How Keras names what it does not have, in .keras and .h5 files.
_CUSTOM = re.compile(r"(?:Could not locate class|Unknown layer:) '(\w+)'")
# Where it has the reason, behind a config that may be a whole network's.
_REASON = "Exception encountered: "
# What it begins with where a layer raises, and how it prints that in bold.
_CALLING = re.compile(r"Exception encountered when calling .*")
_BOLD = re.compile(r"\x1b\[\d*m")


def first_line(error: Exception) -> str:
    """The first line of an error that says something, at most 300 characters: they raise whole graphs."""
    return _first_line(str(error)) or type(error).__name__


def _first_line(text: str) -> str:
    lines = (line.strip() for line in _BOLD.sub("", text).splitlines())
    return next((line for line in lines if line and not _CALLING.fullmatch(line)), "")[:300]


def reason(error: Exception) -> str:
    """What stands behind all that Keras tells first of a network that it cannot read."""
    said = str(error)
    if custom := _CUSTOM.search(said):
        return f"it has no layer '{custom[1]}'"
    return _first_line(said.rpartition(_REASON)[2]) or first_line(error)


@contextlib.contextmanager
def in_one_line(problem: str, hint: str) -> Iterator[None]:
    """Make a ConvertError of whatever is raised: the problem, the line that matters, and a hint.

    A UsageError passes as it is.
    """
    try:
        yield
    except UsageError:
        raise
    except Exception as error:
        raise in_words(error, problem, hint) from error


def in_words(error: Exception, problem: str, hint: str) -> ConvertError:
    """The problem, the reason in what was raised, and a hint."""
    return ConvertError(f"{problem}: {reason(error)} ({hint})")
