"""`ondevice run`: classify pictures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console, described
from ondevice.cli.commands import grouped
from ondevice.cli.console import Format
from ondevice.cli.frame_flags import STREAMS, FrameFlags
from ondevice.cli.options import (
    DescriptionFlags,
    DeviceName,
    DeviceThreads,
    ModelArgument,
    OutputFormat,
    RuntimeName,
    ScaledDecode,
    expanded,
)
from ondevice.errors import ImageError

if TYPE_CHECKING:
    from ondevice.answer import Outcome
    from ondevice.cli.frame_lines import FrameLines
    from ondevice.devices.emulation import Emulation
    from ondevice.frames.latest import LatestFrames
    from ondevice.image import ImageSource
    from ondevice.runner import Runner

Images = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="IMAGE...",
        help=f"Files, globs, folders, or - for one picture on standard input. {STREAMS}",
        show_default=False,
    ),
]
Top = Annotated[int, typer.Option("--top", help="How many classes to give.")]


@grouped
def run(
    model: ModelArgument,
    images: Images = None,
    *,
    frames: FrameFlags,
    threads: DeviceThreads = None,
    top: Top = 5,
    scaled_decode: ScaledDecode = True,
    device: DeviceName = None,
    runtime: RuntimeName = None,
    said: DescriptionFlags,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Classify pictures with one model.

    A picture that cannot be read is reported on standard error and costs itself alone; the exit status is then 1.
    """
    from ondevice.runner import Runner

    if source := frames.source(images or []):
        from ondevice.cli.frame_lines import FrameLines

        latest, lines = frames.latest(source), FrameLines(source, form)
    with console.quiet_runtime():
        runner = Runner(model, threads, runtime, scaled_decode, device, said.overrides())
    if source:
        _warn(runner, ())
        _follow(runner, latest, lines, top)
        return
    paths = expanded(images or [])
    _warn(runner, paths)
    failed = _print(_outcomes(runner, paths, top), form, runner.emulation)
    if failed:
        console.note(f"{failed} of {len(paths)} pictures could not be read")
        raise typer.Exit(1)


def _follow(runner: Runner, latest: LatestFrames, lines: FrameLines, top: int) -> None:
    """Classify the newest frame of a stream, again and again, until it ends."""
    from ondevice.frames.frame import FrameAnswer

    with lines.counting(latest):
        for frame in latest:
            outcome = next(runner.classify_each([frame.source], top))
            lines.put(FrameAnswer(frame, outcome.result, frame.age_ms), record(outcome, runner.emulation))


def _outcomes(runner: Runner, paths: tuple[str, ...], top: int) -> Iterator[Outcome]:
    with console.progress(len(paths), runner.name) as step:
        for path in paths:
            outcome = _outcome(runner, path, top)
            if not outcome.ok:
                console.error(str(outcome.result))
            yield outcome
            step(1)


def _outcome(runner: Runner, path: str, top: int) -> Outcome:
    from ondevice.answer import Outcome
    from ondevice.sources import standard_input

    try:
        source: ImageSource = standard_input() if path == "-" else path
    except ImageError as error:
        return Outcome("standard input", error)
    return next(runner.classify_each([source], top))


def _print(outcomes: Iterator[Outcome], form: Format, emulation: Emulation | None) -> int:
    """Print every outcome as soon as the format allows; gives how many failed."""
    if form is Format.JSONL:
        return sum(_print_line(outcome, emulation) for outcome in outcomes)
    everything = list(outcomes)
    if form is Format.JSON:
        console.emit([record(outcome, emulation) for outcome in everything], form)
    else:
        rows = [row for outcome in everything for row in _rows(outcome, form, emulation)]
        if rows:
            console.emit(rows, form)
    return sum(not outcome.ok for outcome in everything)


def _print_line(outcome: Outcome, emulation: Emulation | None) -> bool:
    console.emit([record(outcome, emulation)], Format.JSONL)
    sys.stdout.flush()
    return not outcome.ok


def record(outcome: Outcome, emulation: Emulation | None) -> dict[str, Any]:
    """An outcome as JSON has it: the answer's fields, or `error`; with what an emulated time rests on."""
    if not outcome.ok:
        return {"image": outcome.image, "error": str(outcome.result)}
    answer = outcome.get()
    fields = console.as_record(answer)
    return {
        "image": outcome.image,
        **fields,
        "emulated": answer.emulated,
        "top": [prediction._asdict() for prediction in answer.top],
    }


def _rows(outcome: Outcome, form: Format, emulation: Emulation | None) -> Iterator[dict[str, Any]]:
    """One row a class; in the table the picture and its times stand once, at its best class."""
    if not outcome.ok:
        return
    answer = outcome.get()
    for rank, prediction in enumerate(answer.top, 1):
        once = rank == 1 or form is Format.CSV
        yield {
            "image": outcome.image if once else "",
            "rank": rank,
            "index": prediction.index,
            "label": prediction.label,
            "score": prediction.score,
            **({"device": emulation.label if once else ""} if emulation else {}),
            "decode_ms": answer.decode_ms if once else None,
            "invoke_ms": answer.invoke_ms if once else None,
            "total_ms": answer.total_ms if once else None,
        }


def _warn(runner: Runner, paths: tuple[str, ...]) -> None:
    if runner.emulation is not None:
        console.note(f"{runner.emulation}; decoding is this machine's")
    described.tell(runner.model.path, runner.entry, runner.description)
    if runner.card is not None and runner.card.family == "digits" and any(map(_is_photo, paths)):
        console.note(
            f"warning: {runner.name} knows handwritten digits only, and this looks like a photo; for photos: "
            "`ondevice models pull mobilenet_v2_1.0_224_quant`"
        )


def _is_photo(path: str) -> bool:
    """Whether a picture that can be read is in colour, or larger than the bundled samples by far."""
    from PIL import Image

    from ondevice import reading
    from ondevice.image import FORMATS

    if path == "-" or not reading.ends(path):  # a pipe has what it has only once
        return False
    try:
        with Image.open(path, formats=FORMATS) as image:
            return image.mode not in ("L", "1") or max(image.size) > 256
    except (OSError, ValueError, Image.DecompressionBombError):
        return False
