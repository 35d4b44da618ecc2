"""Numbers of threads: as people type them, and those that a runtime takes."""

from __future__ import annotations

import pytest

from ondevice.errors import UsageError
from ondevice.limits.threads import MAX_THREADS, check_threads, parse_threads


@pytest.mark.parametrize(("text", "counts"), [("1", [1]), ("4,1, 2", [4, 1, 2]), ("0", [0])])
def test_threads(text: str, counts: list[int]) -> None:
    assert parse_threads(text) == counts


@pytest.mark.parametrize("text", ["", "two", "1,", "1.5", "1;2"])
def test_malformed_threads(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--threads takes whole numbers such as 1,2,4, not '{text}'$"):
        parse_threads(text)


def test_what_a_runtime_takes() -> None:
    check_threads(1)
    check_threads(MAX_THREADS)
    for count in (0, -1, MAX_THREADS + 1, True, 2.0):
        with pytest.raises(UsageError, match="threads must be a whole number from 1 to 256, not"):
            check_threads(count)  # type: ignore[arg-type]
