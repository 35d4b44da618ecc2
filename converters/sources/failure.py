"""What Keras and TensorFlow raise, in one line."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

from ondevice.errors import ConvertError, UsageError

# How Keras names what it does not have, in .keras and .h5 files.
_CUSTOM = re.compile(r"(?:Could not locate class|Unknown layer:) '(\w+)'")


def first_line(error: Exception) -> str:
    """The first line of an error that says something, at most 300 characters: they raise whole graphs."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]


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
        custom = _CUSTOM.search(str(error))
        reason = f"it has no layer '{custom[1]}'" if custom else first_line(error)
        raise ConvertError(f"{problem}: {reason} ({hint})") from error
