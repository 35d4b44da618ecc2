"""The live table of `ondevice offload`: the last requests and the running totals, in a terminal."""

from __future__ import annotations

import contextlib
import math
import sys
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ondevice.cli.console import table

if TYPE_CHECKING:
    from rich.text import Text

    from ondevice.cli.tally import Graded, Tally
    from ondevice.client.offload import OffloadClient

# Requests that it shows: with heads and totals a third of the smallest usual terminal, 24 lines; above are the notes.
_ROWS = 8
_HEADS = ("image", "label", "score", "right", "where", "model", "total_ms", "on_time", "why")


class Board:
    """The totals of `tally`, and the last of the requests that it is told of."""

    def __init__(self, tally: Tally, client: OffloadClient) -> None:
        self._tally, self._client = tally, client
        self._last: deque[Graded] = deque(maxlen=_ROWS)

    def add(self, done: Graded) -> None:
        """Show a request."""
        self._last.append(done)

    @contextlib.contextmanager
    def shown(self) -> Iterator[None]:
        """Draw it on standard error, anew four times a second."""
        from rich.console import Console
        from rich.live import Live

        # In a terminal it makes room for the result; it stays where that goes to a file. Only notes pass through it.
        transient = sys.stdout.isatty()
        with Live(self, console=Console(stderr=True), transient=transient, redirect_stdout=False):
            yield

    def __rich__(self) -> Text:
        """The table now. Plain lines: a table of rich's takes 10 ms to lay out, in which no request gets on."""
        from rich.text import Text

        last = list(self._last)
        heads, rule, *rows = table([self._row(done) for done in last]).splitlines() if last else ("", "")
        board = Text(f"{heads}\n{rule}\n", no_wrap=True, overflow="ellipsis")
        for done, row in zip(last, rows, strict=True):
            on_time = done.outcome.ok and done.outcome.get().on_time
            board.append(f"{row}\n", "" if on_time else "red")
        return board.append(self._totals())

    def _row(self, done: Graded) -> dict[str, Any]:
        """A line of the table; of the picture's name the end, which tells pictures apart."""
        row = done.row() if done.outcome.ok else {"why": str(done.outcome.result)}
        row["image"] = "/".join(Path(done.outcome.image).parts[-2:])
        return {head: row.get(head) for head in _HEADS if head != "right" or self._tally.has_truth}

    def _totals(self) -> str:
        shares = [f"{name} {share:.3f}" for name, share in self._tally.shares().items() if not math.isnan(share)]
        sent = f"{self._client.totals.sent_bytes / 1e3:.0f} kB sent"
        return ", ".join([f"{self._tally.requests} requests", *shares, sent])
