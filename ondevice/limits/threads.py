"""How many threads a runtime may be given: as people type it, and checked."""

from __future__ import annotations

from ondevice.errors import UsageError

# Threads past this help no CNN on any CPU, and thousands exhaust the process.
MAX_THREADS = 256


def parse_threads(text: str) -> list[int]:
    """The numbers of threads in "1,2,4", in their order. Raises UsageError."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"--threads takes whole numbers such as 1,2,4, not '{text}'") from None


def check_threads(threads: int) -> None:
    """Return if a runtime can be given so many threads. Raises UsageError."""
    if type(threads) is not int or not 1 <= threads <= MAX_THREADS:
        raise UsageError(f"threads must be a whole number from 1 to {MAX_THREADS}, not {threads}")
