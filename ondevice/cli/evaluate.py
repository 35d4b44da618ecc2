"""`ondevice evaluate`: accuracy on labelled pictures."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console, described, evaluate_uploads
from ondevice.cli.commands import grouped
from ondevice.cli.console import Format
from ondevice.cli.evaluate_uploads import UploadFlags
from ondevice.cli.options import DescriptionFlags, ModelArgument, OutputFormat, RuntimeName, ScaledDecode, Threads

if TYPE_CHECKING:
    from ondevice.answer import Outcome
    from ondevice.dataset.labelled import Labelled
    from ondevice.evaluate import Evaluation
    from ondevice.models.zoo import Entry
    from ondevice.rungs import RungAccuracy

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        help="A folder a class, by name or index; a folder with a table of file names and labels, or the table; "
        "parts such as train/ and val/; or `<wnid>_….jpg` files beside a labels.csv (index, wnid, name).",
        show_default=False,
    ),
]
# Where the matrix goes that is printed.
_STANDARD_OUTPUT = Path("-")


@dataclass(frozen=True)
class DetailFlags:
    """What is told beside the figures of the whole."""

    per_class: Annotated[
        bool, typer.Option("--per-class", help="Also how often each class is right, and what it is taken for.")
    ] = False
    confusion: Annotated[
        Path | None,
        typer.Option(
            "--confusion",
            metavar="FILE",
            help="Also what is taken for what: a matrix as .csv, a picture (.png, .svg, .pdf), or - to print it.",
            show_default=False,
        ),
    ] = None

    @property
    def wanted(self) -> bool:
        """Whether anything of it is to be told."""
        return self.per_class or self.confusion is not None

    @property
    def _prints_matrix(self) -> bool:
        return self.confusion == _STANDARD_OUTPUT

    def check(self, form: Format) -> None:
        """Raise UsageError, or MissingError, for what cannot be written; before the pictures, not after them."""
        from ondevice.errors import UsageError, naming

        if self._prints_matrix and self.per_class and form in (Format.JSONL, Format.CSV):
            raise UsageError(f"--per-class and --confusion - are two tables, and {form} holds one: write one to a file")
        if self.confusion is None or self._prints_matrix:
            return
        if self.confusion.suffix.lower() != ".csv":
            from ondevice import confusion_plot, extras

            if self.confusion.suffix.lower() not in confusion_plot.SUFFIXES:
                made = ", ".join((".csv", *confusion_plot.SUFFIXES))
                raise UsageError(f"--confusion makes {made}, or prints to -, not '{self.confusion.name}'")
            extras.require("lab", f"--confusion {self.confusion.name}", "matplotlib")
        from ondevice.models import files

        with naming("--confusion"):
            files.check(self.confusion)

    def write(self, result: Evaluation, form: Format) -> None:
        """Print the figures, and write the file."""
        sections = self._sections(result)
        if form is Format.JSON and sections:
            plain = {name: [console.plain(row) for row in rows] for name, rows in sections.items()}
            print(json.dumps({"summary": console.plain(result.record())} | plain, indent=2))
        elif form in (Format.JSONL, Format.CSV) and sections:
            (rows,) = sections.values()
            self._one(result, rows, form)
        else:
            console.emit([result.record()], form)
            self._tables(result, form)
        if self.confusion and not self._prints_matrix:
            self._save(result, self.confusion)

    def _sections(self, result: Evaluation) -> dict[str, list[dict[str, Any]]]:
        classes = {"classes": result.confusion.per_class()} if self.per_class else {}
        return classes | ({"confusion": result.confusion.answers()} if self._prints_matrix else {})

    def _one(self, result: Evaluation, rows: list[dict[str, Any]], form: Format) -> None:
        """Rows of one kind alone on standard output, the figures of the whole beside them."""
        if self._prints_matrix and form is Format.CSV:
            print(result.confusion.matrix().csv(), end="")
        else:
            console.emit(rows, form)
        sys.stdout.flush()
        figures = [{"summary": name, "value": value} for name, value in result.record().items()]
        print(console.table(figures), file=sys.stderr)

    def _tables(self, result: Evaluation, form: Format) -> None:
        if self.per_class:
            print()
            console.emit(result.confusion.per_class(), form)
        if self._prints_matrix:
            from ondevice.confusion import MOST_SHOWN

            whole, matrix = result.confusion.matrix(), result.confusion.matrix(MOST_SHOWN)
            print()
            console.emit(matrix.rows(), form)
            if len(matrix.classes) < len(whole.classes):
                console.note(
                    f"the {len(matrix.classes)} most confused of {len(whole.classes)} classes: "
                    "--confusion FILE.csv has all"
                )

    def _save(self, result: Evaluation, path: Path) -> None:
        if not result.n:
            console.note(f"no picture was answered: {path} is not written")
            return
        if path.suffix.lower() == ".csv":
            console.save(path, result.confusion.matrix().csv())
            return
        from ondevice import confusion_plot

        title = f"{result.model}: top-1 {result.top1:.3f} on {result.n} pictures"
        confusion_plot.draw(result.confusion, title, path)
        console.note(f"drawn: {path}")


@dataclass(frozen=True)
class CardFlags:
    """What becomes of the model's card."""

    update_card: Annotated[
        bool,
        typer.Option(
            "--update-card",
            help="Write the accuracy into the model's card, and on what it was measured; with --uploads that on what "
            "is sent. Of a model of your own: one that was added, or whose card lies beside it.",
        ),
    ] = False
    force: Annotated[
        bool, typer.Option("--force", help="With --update-card, also in place of a figure from more pictures.")
    ] = False

    def check_described(self, said: DescriptionFlags) -> None:
        """Raise UsageError where the card's accuracy would be measured otherwise than the card says."""
        from ondevice.errors import UsageError

        if self.update_card and said != DescriptionFlags():
            raise UsageError(
                "--update-card measures a model as its card describes it: leave --labels, --range and the like out, "
                "or give them to `ondevice models add FILE --name NAME --force`"
            )

    def check(self, entry: Entry, n: int, uploads: bool) -> None:
        """Raise UsageError where the card's figures, or those of uploads, may rest on more pictures than `n`."""
        from ondevice.evaluate import check_better

        if self.force:
            return
        if uploads:
            evaluate_uploads.check_more(entry, n)
        else:
            check_better(entry.card.accuracy, n)

    def write(self, entry: Entry, result: Evaluation | RungAccuracy, folder: Path, left_out: int) -> None:
        """Write it into the card. Raises UsageError."""
        from ondevice import evaluate as evaluation
        from ondevice.models import registry

        self.check(entry, result.n, not isinstance(result, evaluation.Evaluation))
        if not isinstance(result, evaluation.Evaluation):
            evaluate_uploads.write(entry, result, folder, left_out)
            return
        accuracy = evaluation.measured(result, folder)
        registry.rate(entry, accuracy)
        known = entry.card.accuracy
        before = f"; before: {known.top1:.4f}, {known.data}" if known else ""
        console.note(f"{entry.card_path}: top1 {accuracy.top1:.4f}, {accuracy.data}{before}")


@grouped
def evaluate(
    model: ModelArgument,
    folder: Folder,
    threads: Threads = None,
    scaled_decode: ScaledDecode = True,
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit",
            min=1,
            metavar="N",
            help="At most N pictures, evenly over the classes, the same ones every time.",
            show_default="all",
        ),
    ] = None,
    *,
    detail: DetailFlags,
    uploads: UploadFlags,
    card: CardFlags,
    said: DescriptionFlags,
    runtime: RuntimeName = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Top-1 and top-5 of a model on labelled pictures, with the 95 % interval and the median times.

    A picture that cannot be read is reported, left out of the figures and counted; the exit status is then 1. With
    --per-class, or --confusion -, json is an object; jsonl and csv are its rows, with the figures of the whole on
    standard error. With --uploads there is a row for the whole files, and one for each way of sending them.
    """
    from ondevice import evaluate as evaluation
    from ondevice.dataset.labelled import labelled
    from ondevice.models import registry
    from ondevice.runner import Runner

    detail.check(form)
    uploads.check(detail.wanted)
    card.check_described(said)
    with console.quiet_runtime():
        runner = Runner(model, threads, runtime, scaled_decode, overrides=said.overrides())
    entry = registry.own(runner.entry, runner.model.path) if card.update_card else None
    described.tell(runner.model.path, runner.entry, runner.description)
    data = labelled(folder, runner.labels)
    data = data if limit is None else data.limited(limit)
    if entry:
        card.check(entry, len(data.paths), uploads.wanted)
    for note in data.notes:
        console.note(note)
    with _telling(data, runner.name) as on_outcome:
        measure = uploads.measure if uploads.wanted else evaluation.evaluate
        result = measure(runner, data, on_outcome)
    if isinstance(result, evaluation.Evaluation):
        detail.write(result, form)
    else:
        console.emit(result.records(), form, ".2f")
    if entry:
        card.write(entry, result, folder, data.left_out)
    if result.failed:
        raise typer.Exit(1)


@contextlib.contextmanager
def _telling(data: Labelled, model: str) -> Iterator[Callable[[Outcome], None]]:
    """What is to be called of each picture: it reports what fails, and moves the bar on."""
    with console.progress(len(data.paths), model) as step:

        def on_outcome(outcome: Outcome) -> None:
            if not outcome.ok:
                console.error(str(outcome.result))
            step(1)

        yield on_outcome
