"""`ondevice evaluate`: accuracy on labelled pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ondevice.cli import console, described
from ondevice.cli.commands import grouped
from ondevice.cli.console import Format
from ondevice.cli.options import DescriptionFlags, ModelArgument, OutputFormat, RuntimeName, ScaledDecode, Threads

if TYPE_CHECKING:
    from ondevice.answer import Outcome

Folder = Annotated[
    Path,
    typer.Argument(
        metavar="DIR",
        help="A folder a class, or `<wnid>_….jpg` files beside a labels.csv (index, wnid, name).",
        show_default=False,
    ),
]


@grouped
def evaluate(
    model: ModelArgument,
    folder: Folder,
    *,
    threads: Threads = None,
    scaled_decode: ScaledDecode = True,
    runtime: RuntimeName = None,
    update_card: Annotated[
        bool,
        typer.Option(
            "--update-card",
            help="Write the accuracy into the model's card, and on what it was measured. Of a model of your own: one "
            "that was added, or whose card lies beside it.",
        ),
    ] = False,
    said: DescriptionFlags,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Top-1 and top-5 of a model on labelled pictures, with the 95 % interval and the median times.

    A picture that cannot be read is reported, left out of the figures and counted; the exit status is then 1.
    """
    from ondevice import evaluate as evaluation
    from ondevice.dataset.labelled import labelled
    from ondevice.models import registry
    from ondevice.runner import Runner

    with console.quiet_runtime():
        runner = Runner(model, threads, runtime, scaled_decode, overrides=said.overrides())
    entry = registry.own(runner.entry, runner.name) if update_card else None
    described.tell(runner)
    data = labelled(folder, runner.labels)
    for note in data.notes:
        console.note(note)
    with console.progress(len(data.paths), runner.name) as step:

        def on_outcome(outcome: Outcome) -> None:
            if not outcome.ok:
                console.error(str(outcome.result))
            step(1)

        result = evaluation.evaluate(runner, data, on_outcome)
    console.emit([console.as_record(result)], form)
    if entry:
        accuracy = evaluation.measured(result, folder)
        registry.rate(entry, accuracy)
        console.note(f"{entry.card_path}: top1 {accuracy.top1:.4f}, {accuracy.data}")
    if result.failed:
        raise typer.Exit(1)
