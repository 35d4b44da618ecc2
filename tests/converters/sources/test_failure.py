"""What Keras and TensorFlow raise, in one line."""

from __future__ import annotations

import pytest

from ondevice.converters.sources.failure import first_line, in_one_line
from ondevice.errors import ConvertError, UsageError


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("\n  first \nsecond"), "first"),
        (ValueError(""), "ValueError"),
        (RuntimeError("x" * 999), "x" * 300),
    ],
    ids=["lines", "empty", "long"],
)
def test_the_first_line_that_says_something(error: Exception, line: str) -> None:
    assert first_line(error) == line


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("it broke\nhere", "net: cannot be read: it broke (look again)"),
        (
            "Could not locate class 'Doubling'. Make sure",
            "net: cannot be read: it has no layer 'Doubling' (look again)",
        ),
        ("Unknown layer: 'Doubling'", "net: cannot be read: it has no layer 'Doubling' (look again)"),
        (
            "Error when deserializing class 'Dense' using config={}.\n\nException encountered: bad units\nat d",
            "net: cannot be read: bad units (look again)",
        ),
        (
            "Exception encountered when calling Dense.call().\n\n\x1b[1mits input is 3\x1b[0m\n\nArguments received:",
            "net: cannot be read: its input is 3 (look again)",
        ),
    ],
)
def test_whatever_is_raised_is_one_line(message: str, said: str) -> None:
    with pytest.raises(ConvertError) as caught, in_one_line("net: cannot be read", "look again"):
        raise TypeError(message)
    assert str(caught.value) == said


def test_wrong_usage_passes_as_it_is() -> None:
    with pytest.raises(UsageError, match=r"^mine$"), in_one_line("net", "hint"):
        raise UsageError("mine")
