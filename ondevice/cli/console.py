"""What all commands share: the result to standard output, everything else to standard error."""

from __future__ import annotations

import contextlib
import enum
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Record = Mapping[str, Any]


class Format(enum.StrEnum):
    """How a command prints its records."""

    TABLE = "table"
    MD = "md"
    JSON = "json"
    JSONL = "jsonl"
    CSV = "csv"


class Manner:
    """How to speak to the person; set by the flags that stand before or after any command."""

    quiet = False
    debug = False


def note(message: str, always: bool = False) -> None:
    """Say one line to the person, on standard error; with --quiet only what `always` is to be said."""
    if always or not Manner.quiet:
        print(f"ondevice: {printable(message)}", file=sys.stderr)


def error(message: str) -> None:
    """Say in one line, on standard error, what went wrong."""
    print(f"ondevice: error: {printable(message.strip())}", file=sys.stderr)


def shows_progress() -> bool:
    """Whether somebody is there to see something move, and has not asked for quiet."""
    return sys.stderr.isatty() and not Manner.quiet


def emit(records: Sequence[Record], form: Format, numbers: str = ".1f") -> None:
    """Print flat records with the same keys: as an aligned table, Markdown, a JSON list, JSON lines or CSV.

    numbers: how tables format milliseconds.
    """
    if form in (Format.TABLE, Format.MD):
        print(table(records, numbers) if form is Format.TABLE else markdown(records, numbers))
        return
    import json

    if form is Format.JSON:
        print(json.dumps([plain(r) for r in records], indent=2))
    elif form is Format.JSONL:
        for record in records:
            print(json.dumps(plain(record)))
    else:
        text = comma_separated(records)
        # A file gets every character; a terminal would obey some.
        print(_shown(text) if sys.stdout.isatty() else text, end="")


def table(records: Sequence[Record], numbers: str = ".1f") -> str:
    """An aligned table, the keys as headings; numbers to the right, times formatted by `numbers`, others by .3f."""
    if not records:
        return "(none)"
    heads, rows, right = _cells(records, numbers)
    widths = [max(len(head), *(len(row[i]) for row in rows)) for i, head in enumerate(heads)]
    lines = [heads, ["-" * width for width in widths], *rows]
    pad: Callable[[str, int], str] = lambda text, i: text.rjust(widths[i]) if right[i] else text.ljust(widths[i])  # noqa: E731
    return "\n".join("  ".join(pad(text, i) for i, text in enumerate(line)).rstrip() for line in lines)


def markdown(records: Sequence[Record], numbers: str = ".1f") -> str:
    """A Markdown table, its cells as in `table`."""
    if not records:
        return "(none)"
    heads, rows, right = _cells(records, numbers)
    rule = ["---:" if is_right else "---" for is_right in right]
    return "\n".join("| " + " | ".join(line) + " |" for line in [heads, rule, *rows])


def _cells(records: Sequence[Record], numbers: str) -> tuple[list[str], list[list[str]], list[bool]]:
    """The headings, the rows as text, and for each column whether it holds numbers."""
    heads = list(records[0])
    rows = [[cell(key, record[key], numbers) for key in heads] for record in records]
    return heads, rows, [all(isinstance(r[key], int | float | None) for r in records) for key in heads]


def cell(key: str, value: Any, numbers: str = ".1f") -> str:
    """A value of a table as text."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return "-" if math.isnan(value) else format(value, numbers if key.endswith("_ms") else ".3f")
    return _in_encoding(printable(str(value)))


def _in_encoding(text: str) -> str:
    """As `standard.secure` has it, so that columns are as wide as what is printed."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text if encoding == "utf-8" else text.encode(encoding, "backslashreplace").decode(encoding)


def printable(text: str) -> str:
    """Text without control characters: labels and file names come from strangers, and terminals obey escape codes."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _shown(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def plain(record: Record) -> dict[str, Any]:
    """The record with fractions and times rounded to what was measured; NaN and infinity, which JSON lacks, as null."""
    return {key: _rounded(value) for key, value in record.items()}


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if math.isfinite(value) else None
    if isinstance(value, dict):
        return plain(value)
    return [_rounded(v) for v in value] if isinstance(value, list | tuple) else value


def comma_separated(records: Sequence[Record]) -> str:
    """CSV with a heading, the keys of all records; empty text for no records."""
    import csv
    import io

    out = io.StringIO()
    if records:
        writer = csv.DictWriter(out, list(dict.fromkeys(key for r in records for key in r)), lineterminator="\n")
        writer.writeheader()
        writer.writerows(plain(record) for record in records)
    return out.getvalue()


def save(path: Path, text: str) -> None:
    """Write a file, whole or not at all, and say where it is. Raises OnDeviceError."""
    from ondevice.models import files

    try:
        with files.replacing(path) as out:
            out.write(text.encode(errors="backslashreplace"))  # a name that is not text is none in UTF-8 either
    except OSError as error:
        raise files.explain(error, path) from error
    note(f"saved: {path}")


def as_record(value: Any) -> dict[str, Any]:
    """A dataclass as a flat record."""
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


@contextlib.contextmanager
def progress(total: int, what: str, unit: str = "") -> Iterator[Callable[[int], None]]:
    """Show a bar, if that makes sense; gives the function that moves it on (or back)."""
    if not shows_progress() or total < 2:
        yield lambda steps: None
        return
    from rich import progress as bars
    from rich.console import Console

    count = bars.DownloadColumn() if unit == "bytes" else bars.MofNCompleteColumn()
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), count, bars.TimeRemainingColumn())
    with bars.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda steps: _advance(bar, task, steps)


def _advance(bar: Progress, task: TaskID, steps: int) -> None:
    """Move a bar on. Where more is done than was expected, such as runs that go on for a second, that is the whole."""
    (shown,) = bar.tasks
    done = shown.completed + steps
    bar.update(task, completed=done, total=max(done, shown.total or 0))


@contextlib.contextmanager
def quiet_runtime() -> Iterator[None]:
    """Keep the runtime's INFO lines, which native code writes to descriptor 2, off the screen; pass on the rest."""
    sys.stderr.flush()
    reader, writer = os.pipe()
    # Nobody reads until the runtime is done: where it says more than a pipe holds, the rest is dropped.
    os.set_blocking(writer, False)
    saved = os.dup(2)
    os.dup2(writer, 2)
    os.close(writer)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        # Not until its end: a process started meanwhile may hold the writing end open for ever.
        os.set_blocking(reader, False)
        with contextlib.suppress(BlockingIOError):
            _pass_on(os.read(reader, 1 << 20).decode(errors="replace").splitlines())
        os.close(reader)


def _pass_on(lines: Iterable[str]) -> None:
    for line in lines:
        if line.strip() and not line.startswith("INFO:"):
            print(line, file=sys.stderr)
