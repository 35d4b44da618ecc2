"""`ondevice models`: the zoo."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console, described
from ondevice.cli.commands import Commands, grouped
from ondevice.cli.console import Format
from ondevice.cli.options import DescriptionFlags, ModelArgument, OutputFormat

if TYPE_CHECKING:
    from ondevice.models.card import Accuracy
    from ondevice.models.uploads import MeasuredUploads
    from ondevice.models.zoo import Entry

app = Commands("The zoo: list, show, pull, add and remove models.")

Name = Annotated[str, typer.Argument(metavar="NAME", show_default=False)]


@app.command("list")
def list_(form: OutputFormat = Format.TABLE) -> None:
    """List all models: bundled, to be pulled, and added.

    A card that cannot be read is reported on standard error and costs itself alone; the exit status is then 1.
    """
    from ondevice.models import zoo

    found = zoo.listing()
    console.emit([_row(entry) for entry in found.entries], form)
    for error in found.broken:
        console.error(f"{error}; mend it, or take it away")
    if found.broken:
        raise typer.Exit(1)


@app.command()
@grouped
def show(model: ModelArgument, said: DescriptionFlags, form: OutputFormat = Format.TABLE) -> None:
    """Show what is known of a model, in the zoo or in any .tflite file, and where each thing is known from."""
    import json

    from ondevice.models.description import describe_model

    path, entry = _file_of(model)
    known = describe_model(path, entry, said.overrides())
    fields = _card_fields(entry) if entry else {}
    fields["path"] = str(path) if path.is_file() else _not_here(entry)
    told, sources = known.values(), described.sources(known, entry)
    if form in (Format.JSON, Format.JSONL):
        sourced = {name: {"value": told[name], "source": source} for name, source in sources.items()}
        record = {**fields, "known": sourced, "notes": known.notes}
        print(json.dumps(record, indent=2 if form is Format.JSON else None))
        return
    uploads = entry.card.uploads if entry else None
    if uploads:
        fields["uploads"] = _in_short(uploads)
    rows = [{"field": name, "value": str(value), "source": ""} for name, value in fields.items()]
    rows += [{"field": name, "value": told[name], "source": source} for name, source in sources.items()]
    console.emit(rows, form)
    if uploads and form is not Format.CSV:  # which holds one table
        print()
        console.emit(_each_upload(uploads), form)
    for note in known.notes:
        console.note(note)


@app.command()
def pull(
    names: Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False)],
    origin: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="DIR_OR_URL",
            help="A folder or mirror that holds the files by name.",
            show_default="each card's URL",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Fetch again what is there already.")] = False,
) -> None:
    """Fetch models into the cache, verified by checksum. One that fails is reported, the others are fetched."""
    from ondevice.errors import DownloadError
    from ondevice.models import zoo
    from ondevice.models.pull import pull as fetch

    entries = [_pullable(zoo.find(name)) for name in names]
    failed = 0
    for entry in entries:
        try:
            with console.progress(entry.card.size_bytes, entry.card.name, "bytes") as step:
                fetched = fetch(entry, origin, force, step)
        except DownloadError as error:
            failed += 1
            console.error(str(error))
        else:
            print(f"{entry.path}{'' if fetched else ' (was there already)'}")
    if failed:
        raise typer.Exit(1)


@app.command()
@grouped
def add(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A .tflite image classifier.", show_default=False)],
    name: Annotated[str | None, typer.Option("--name", help="Its name in the zoo.", show_default="the file's")] = None,
    *,
    said: DescriptionFlags,
    licence: Annotated[str, typer.Option("--licence", help="The file's licence, for its card.")] = "unknown",
    top1: Annotated[
        float | None,
        typer.Option(
            "--top1",
            metavar="SHARE",
            help="Its accuracy, such as 0.71, by which `ondevice serve` chooses; `ondevice evaluate --update-card` "
            "measures it.",
            show_default="not known",
        ),
    ] = None,
    accuracy_data: Annotated[
        str | None,
        typer.Option("--accuracy-data", metavar="TEXT", help="On what --top1 was measured, or who published it."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a model added before under this name.")] = False,
) -> None:
    """Take a .tflite file of your own into the zoo, with a card of what is known of it.

    What neither a flag nor the file says, nor a label file beside it, has to be given: an error names the flag.
    """
    from ondevice import intake

    accuracy = _accuracy(top1, accuracy_data)
    with console.quiet_runtime():
        entry = intake.add(file, name, said.overrides(), licence, force, accuracy)
    described.tell_card(entry)
    print(f"added {entry.card.name}; try: ondevice run {entry.card.name} PHOTO.jpg")


@app.command()
def remove(name: Name) -> None:
    """Delete a pulled model's file, or an added model."""
    from ondevice.models.registry import remove as delete

    print(f"removed {delete(name)}")


def _file_of(model: str) -> tuple[Path, Entry | None]:
    """The file that a path or a name stands for, there or not yet, and its card. Raises ModelError."""
    from ondevice.errors import ModelError
    from ondevice.models import files, zoo
    from ondevice.runner import find

    try:
        found = find(model)
    except ModelError:
        if files.expanded(model).exists():
            raise
        entry = zoo.find(model)
        return entry.path, entry
    return found.path, found.entry


def _not_here(entry: Entry | None) -> str:
    return "not pulled yet" if entry and entry.origin == "pulled" else "gone"


def _card_fields(entry: Entry) -> dict[str, Any]:
    """What a card says, flat."""
    import dataclasses

    given, accuracy = entry.card.input, entry.card.accuracy
    apart = ("input", "accuracy", "sources")
    fields = {k: v for k, v in dataclasses.asdict(entry.card).items() if k not in apart and v is not None}
    fields |= {f"input.{k}": v for k, v in dataclasses.asdict(given).items()}
    fields["input.value_range"] = list(given.value_range)
    fields |= {k: v for k, v in dataclasses.asdict(accuracy).items() if v is not None} if accuracy else {}
    return {**fields, "origin": entry.origin}


def _in_short(uploads: MeasuredUploads) -> str:
    """What is known of what is sent of pictures, in a line."""
    rows = _each_upload(uploads)
    ends = [rows[0], rows[-1]] if len(rows) > 1 else rows
    said = " to ".join(f"{row['sent']} ({row['bytes']} bytes, top1 {row['top1']:.3f})" for row in ends)
    return f"{said}; whole files {uploads.whole:.3f}; {uploads.data}"


def _each_upload(uploads: MeasuredUploads) -> list[dict[str, Any]]:
    """A row for each way of sending a picture: its mean bytes, and how often the model is right then."""
    kept = uploads.kept.values()
    rows = zip(uploads.rungs, uploads.bytes, uploads.top1, kept, strict=True)
    return [{"sent": text, "bytes": size, "top1": top1, "kept": share} for text, size, top1, share in rows]


def _accuracy(top1: float | None, data: str | None) -> Accuracy | None:
    """What is said of a model's accuracy. Raises UsageError."""
    from ondevice.errors import UsageError
    from ondevice.models.card import Accuracy

    if top1 is None:
        if data is not None:
            raise UsageError("--accuracy-data says on what --top1 was measured: give --top1 too")
        return None
    if not 0 <= top1 <= 1:
        raise UsageError(f"--top1 is a share from 0 to 1, such as 0.71, not {top1:g}")
    return Accuracy(top1, data or "as given to `ondevice models add`")


def _row(entry: Entry) -> dict[str, Any]:
    card = entry.card
    return {
        "name": card.name,
        "precision": card.precision,
        "input": f"{card.input.height}x{card.input.width}x{card.input.channels}",
        "labels": card.labels,
        "top1": card.accuracy.top1 if card.accuracy else None,
        "size_bytes": card.size_bytes,
        "origin": entry.origin,
        "here": entry.present,
    }


def _pullable(entry: Entry) -> Entry:
    from ondevice.errors import UsageError

    if entry.origin != "pulled":
        raise UsageError(f"{entry.card.name} is {entry.origin}: there is nothing to pull")
    return entry
