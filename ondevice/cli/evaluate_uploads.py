"""`ondevice evaluate --uploads`: accuracy on what is sent of pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ondevice.cli import console

if TYPE_CHECKING:
    from ondevice.answer import Outcome
    from ondevice.dataset.labelled import Labelled
    from ondevice.models.zoo import Entry
    from ondevice.protocol.rung import Rung
    from ondevice.rungs import RungAccuracy
    from ondevice.runner import Runner


@dataclass(frozen=True)
class UploadFlags:
    """What is sent of each picture, where that is to be measured."""

    uploads: Annotated[
        bool,
        typer.Option(
            "--uploads",
            help="Top-1 on what is sent of each picture to an endpoint, at a ladder of sides and qualities, beside "
            "that on whole files.",
        ),
    ] = False
    upload: Annotated[
        list[str] | None,
        typer.Option(
            "--upload",
            metavar="SIDE,QUALITY",
            help="The same at this side and quality: 192,40, as WebP 192,40,webp. May be repeated.",
            show_default="none beside those of --uploads",
        ),
    ] = None

    @property
    def wanted(self) -> bool:
        """Whether anything of it is to be measured."""
        return self.uploads or bool(self.upload)

    def check(self, details: bool) -> None:
        """Raise UsageError for what cannot be meant. details: whether such of each class are wanted, too."""
        from ondevice.errors import UsageError

        if self.wanted and details:
            raise UsageError("--per-class and --confusion are of whole pictures: leave --uploads and --upload out")
        self._named()

    def _named(self) -> list[Rung]:
        from ondevice.errors import naming
        from ondevice.protocol.rung import Rung

        with naming("--upload"):
            return [Rung.parse(text) for text in self.upload or ()]

    def rungs(self, side: int) -> list[Rung]:
        """What is asked for, of a model of this input side. Notes what this machine cannot make."""
        from ondevice.selection.ladder import rungs_for
        from ondevice.upload import can_compress

        asked = [*(rungs_for(side) if self.uploads else ()), *self._named()]
        made = [rung for rung in asked if can_compress(rung.compression)]
        if len(made) < len(asked):
            console.note("this machine's Pillow cannot write WebP: it is left out")
        return made

    def measure(self, runner: Runner, data: Labelled, on_outcome: Callable[[Outcome], None]) -> RungAccuracy:
        """Measure it on these pictures."""
        from ondevice.rungs import evaluate_uploads

        pictures: Sequence[tuple[str, int]] = [*zip(data.paths, data.truth, strict=True)]
        rungs = self.rungs(max(runner.input.height, runner.input.width))
        return evaluate_uploads(runner, pictures, rungs, on_outcome)


def check_more(entry: Entry, n: int) -> None:
    """Raise UsageError where the card's ladder rests on more pictures than `n`."""
    from ondevice import evaluate as evaluation

    if known := entry.card.uploads:
        evaluation.check_more(f"the uploads of {known.data}", known.n, n)


def write(entry: Entry, result: RungAccuracy, folder: Path, left_out: int) -> None:
    """Write the ladder into the card. Raises UsageError."""
    from ondevice import evaluate as evaluation
    from ondevice.models import registry

    data = evaluation.described(folder, result.n, result.failed, left_out, result.runtime)
    uploads = result.uploads(data)
    registry.rate_uploads(entry, uploads)
    console.note(f"{entry.card_path}: {len(uploads.rungs)} uploads, {uploads.data}")
