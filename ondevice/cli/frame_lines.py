"""A line for each answer of a stream, as soon as it is there, and what became of the other frames at its end."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from time import monotonic
from typing import TYPE_CHECKING, Any

import typer

from ondevice import words
from ondevice.cli import console
from ondevice.cli.console import Format
from ondevice.errors import UsageError

if TYPE_CHECKING:
    from ondevice.frames.frame import FrameAnswer
    from ondevice.frames.latest import LatestFrames
    from ondevice.frames.source import FrameSource

# How wide the columns are, because what is to come is not known: a time of day in ms, the usual labels, and numbers of
# frames for a day; what is longer pushes the rest of its line to the right.
_WIDTHS = {
    "time": 12, "frame": 7, "label": 24, "score": 5, "where": 6, "model": 28, "total_ms": 8, "age_ms": 8, "dropped": 7,
}  # fmt: skip
# A stream's error is not repeated within so many seconds, as `ondevice.cli.notes` has it.
_AGAIN_S = 2.0
_TEXTS = ("time", "label", "where", "model")


class FrameLines:
    """Prints answers as lines. Raises UsageError for a form that has an end."""

    def __init__(self, source: FrameSource, form: Format) -> None:
        if form in (Format.JSON, Format.MD):
            raise UsageError(f"--format {form} is whole at its end, which a stream has not: take jsonl, csv or table")
        self._source, self._form = source, form
        self._answered = self._failed = 0
        self._said, self._said_at = "", 0.0

    def put(self, answer: FrameAnswer, record: dict[str, Any]) -> None:
        """Print one; report a frame that has no answer. record: the answer, or `error`, as jsonl has it."""
        self._failed += not answer.ok
        if self._form is Format.JSONL:
            frame = self._frame(answer)
            console.emit([{**frame, **record, **frame}], self._form)
        elif answer.ok:
            row = self._row(answer)
            print(self._comma_separated(row) if self._form is Format.CSV else self._aligned(row), end="")
        self._answered += answer.ok
        sys.stdout.flush()
        if not answer.ok:
            self._complain(answer)

    @contextlib.contextmanager
    def counting(self, latest: LatestFrames) -> Iterator[None]:
        """At the end, also by Ctrl-C, tell what became of all frames. Raises Exit where some had no answer."""
        from ondevice.cli.notes import notes_of_the_frames

        try:
            with notes_of_the_frames():
                yield
        finally:
            self._source.close()
            console.note(self._told(latest))
        if self._failed:
            raise typer.Exit(1)

    def _complain(self, answer: FrameAnswer) -> None:
        """Report it, unless the last one had the same to say, a moment ago: all frames of a broken camera do."""
        said, now = str(answer.result), monotonic()
        if said != self._said or now >= self._said_at + _AGAIN_S:
            self._said, self._said_at = said, now
            console.error(f"{self._source.name}: frame {answer.frame.number}: {said}")

    def _frame(self, answer: FrameAnswer) -> dict[str, Any]:
        """What is said of the frame itself: its file, if it has one, else the stream's name."""
        frame = answer.frame
        return {
            "image": frame.source if isinstance(frame.source, str) else self._source.name,
            "frame": frame.number,
            "time": frame.time.isoformat(timespec="milliseconds"),
            "age_ms": answer.age_ms,
            "dropped": frame.dropped,
        }

    def _row(self, answer: FrameAnswer) -> dict[str, Any]:
        best = answer.get()
        return {
            **self._frame(answer),
            "label": best.label,
            "score": best.score,
            "where": best.where,
            "model": best.model,
            "total_ms": best.total_ms,
            "on_time": best.on_time,
        }

    def _comma_separated(self, row: dict[str, Any]) -> str:
        heads, line = console.comma_separated([row]).split("\n", 1)
        return line if self._answered else f"{heads}\n{line}"

    def _aligned(self, row: dict[str, Any]) -> str:
        row["time"] = row["time"][len("2026-11-30T") :][: _WIDTHS["time"]]
        cells = {head: console.cell(head, row[head]) for head in _WIDTHS}
        heads = (
            ""
            if self._answered
            else _line({head: head for head in _WIDTHS}) + _line({head: "-" * width for head, width in _WIDTHS.items()})
        )
        return heads + _line(cells)

    def _told(self, latest: LatestFrames) -> str:
        counts = [f"{self._answered} answered", f"{latest.dropped} dropped for a newer one"]
        counts += [f"{self._failed} without an answer"] if self._failed else []
        counts += [f"{latest.unchanged} unchanged"] if latest.unchanged else []
        counts += [f"{self._source.broken} that were not whole, beside these"] if self._source.broken else []
        lost = f"; the link was lost {words.counted(self._source.lost, 'time')}" if self._source.lost else ""
        return f"{words.counted(latest.came, 'frame')}: {', '.join(counts)}{lost}"


def _line(cells: dict[str, str]) -> str:
    padded = (
        text.ljust(_WIDTHS[head]) if head in _TEXTS else text.rjust(_WIDTHS[head]) for head, text in cells.items()
    )
    return "  ".join(padded).rstrip() + "\n"
