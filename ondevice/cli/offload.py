"""`ondevice offload`: classify pictures here or in the cloud, each before its deadline."""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ondevice.cli import console, described
from ondevice.cli.camera import Camera
from ondevice.cli.commands import grouped
from ondevice.cli.console import Format
from ondevice.cli.frame_flags import STREAMS, FrameFlags
from ondevice.cli.notes import Notes, notes_of_the_client
from ondevice.cli.options import DeviceName, DeviceThreads, OutputFormat, check_secret, expanded
from ondevice.cli.stream import AT_ONCE, NamedImage, PictureStream
from ondevice.cli.tally import Graded, Tally, lines
from ondevice.errors import OffloadError, OnDeviceError, UnlabelledError, UsageError, naming

if TYPE_CHECKING:
    from ondevice.cli.board import Board
    from ondevice.client.offload import OffloadClient
    from ondevice.models.labels import Labels
    from ondevice.runner import Runner

# The environment variable that holds the bearer token.
_TOKEN = "ONDEVICE_TOKEN"
# Before the first picture the endpoint has so long to tell of its models: several round trips of the slowest emulated
# network; longer keeps a person waiting, shorter answers the first pictures without knowing the endpoint.
_READY_S = 2.0


@dataclass(frozen=True)
class RequestFlags:
    """What is asked of whom."""

    endpoint: Annotated[
        str | None,
        typer.Option(
            "--endpoint",
            "-e",
            metavar="URL",
            help="An `ondevice serve`, such as http://laptop:8000, or another server of the Open Inference Protocol; "
            "with a path where it has one before /v2.",
            show_default=False,
        ),
    ] = None
    endpoint_host: Annotated[
        str | None,
        typer.Option(
            "--endpoint-host",
            metavar="HOST",
            help="The Host that the endpoint is asked for, for an ingress that goes by it, as KServe's does.",
            show_default="the URL's",
        ),
    ] = None
    sla: Annotated[float, typer.Option("--sla", help="The deadline of each picture, ms.")] = 200.0
    mode: Annotated[
        str,
        typer.Option(
            "--mode",
            metavar="auto|device|cloud|hedge|cascade",
            help="device: here. cloud: at the endpoint. hedge: there, with the local model in reserve. auto: here "
            "alone or hedged, whichever is expected to be right and on time more often. cascade: here first, and there "
            "only if that answer is unsure and asking is worth the time that is left.",
        ),
    ] = "auto"
    upload: Annotated[
        str,
        typer.Option(
            "--upload",
            metavar="auto|scaled|file|SIDE,QUALITY",
            help="What is sent of a picture. auto: what is expected to be right and on time most often, of all that "
            "the endpoint says a picture may be. scaled: its file, or as much as the endpoint's models look at, "
            "whichever is there sooner. file: its file. 192,40: always 192 x 192 pixels as JPEG of quality 40; "
            "192,40,webp as WebP.",
        ),
    ] = "auto"


@dataclass(frozen=True)
class LocalFlags:
    """The device's own models."""

    local: Annotated[
        list[str] | None,
        typer.Option(
            "--local",
            "-l",
            metavar="MODEL",
            help="A model of this device, by name or path; the most accurate that is in time is run. May be given "
            "several times.",
            show_default=False,
        ),
    ] = None
    device: DeviceName = None
    threads: DeviceThreads = None

    def runners(self) -> list[Runner]:
        """The models, loaded. Raises UsageError and what Runner raises."""
        from ondevice.runner import Runner

        if not self.local and (self.device is not None or self.threads is not None):
            raise UsageError("--device and --threads are for the local model: give --local MODEL")
        runners = [Runner(model, self.threads, device=self.device) for model in self.local or []]
        for runner in runners:
            described.tell(runner.model.path, runner.entry, runner.description)
        return runners


@dataclass(frozen=True)
class AnswerFlags:
    """What answer is wanted."""

    top: Annotated[int, typer.Option("--top", help="How many classes json and jsonl give.")] = 5
    confident: Annotated[
        float | None,
        typer.Option(
            "--confident",
            metavar="SCORE",
            help="Run the local model at once, and take its answer if its score is at least this, such as 0.9; in "
            "cascade, only pictures below it may be sent.",
            show_default="0.9 in cascade, else wait for the better answer",
        ),
    ] = None
    anytime: Annotated[
        int,
        typer.Option(
            "--anytime",
            min=1,
            max=8,
            help="So many models of the endpoint may answer a request side by side, if it allows that; the best answer "
            "by the deadline counts.",
        ),
    ] = 1


@dataclass(frozen=True)
class PaceFlags:
    """When the pictures are asked about."""

    every: Annotated[
        float | None,
        typer.Option(
            "--every",
            metavar="MS",
            help=f"A picture each so many ms, up to {AT_ONCE} at once; of a stream, one frame each at most.",
            show_default="one after the other",
        ),
    ] = None
    repeat: Annotated[int, typer.Option("--repeat", min=1, help="Go through all pictures so many times.")] = 1


@dataclass(frozen=True)
class TrustFlags:
    """Who the endpoint must be, and who asks."""

    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            metavar="FILE",
            help="The endpoint's bearer token, on the first line.",
            show_default=f"the variable {_TOKEN}",
        ),
    ] = None
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca",
            metavar="FILE",
            help="Certificates (PEM) of the authorities to trust with https.",
            show_default="the system's",
        ),
    ] = None
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Do not check the endpoint's certificate: anybody may be the endpoint.")
    ] = False

    def token(self) -> str | None:
        """The bearer token: the first of a file such as `ondevice serve --tokens` takes, or the variable."""
        from ondevice.models import files

        if self.token_file is None:
            return os.environ.get(_TOKEN, "").strip() or None
        check_secret("--token-file", self.token_file)
        with naming("--token-file"):
            tokens = files.filled_lines(self.token_file)
            if not tokens:
                raise UsageError(f"{self.token_file}: has no token in it")
        return tokens[0]

    def verify(self) -> bool | str:
        """Whether certificates are checked, or the file of those to check them by. Raises UsageError."""
        if self.ca is not None and self.insecure:
            raise UsageError("--ca says whom to trust, --insecure trusts anybody: give one or the other")
        return not self.insecure if self.ca is None else str(self.ca)


@grouped
def offload(
    images: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="IMAGE...",
            help="Files, globs, folders, or - for one picture on standard input. Of one folder that is labelled as for "
            f"`ondevice evaluate`, right answers are counted too. {STREAMS}",
            show_default=False,
        ),
    ] = None,
    *,
    frames: FrameFlags,
    request: RequestFlags,
    local: LocalFlags,
    answer: AnswerFlags,
    pace: PaceFlags,
    trust: TrustFlags,
    patience: Annotated[
        float | None,
        typer.Option(
            "--patience",
            metavar="MS",
            help="How long after the deadline the cloud is waited for, without a local model.",
            show_default="as long as --sla",
        ),
    ] = None,
    form: OutputFormat = Format.TABLE,
) -> None:
    """Classify pictures on this device, at an endpoint, or both, so that each answer is there before its deadline.

    The result is a record for each picture and a summary: json is an object of `requests` and `summary`; jsonl and csv
    are the requests alone, jsonl each as soon as it is answered, with the summary on standard error. In a terminal a
    live table shows the last requests. A picture without an answer is reported and costs itself alone; the exit status
    is then 1. Ctrl-C ends the stream and prints what there is.
    """
    from ondevice.client.offload import OffloadClient, Options

    verify, host = trust.verify(), request.endpoint_host
    options = Options(
        answer.top, answer.confident, trust.token(), verify, patience, answer.anytime, host=host, upload=request.upload
    )
    images = images or []
    camera = Camera.of(frames, images, pace.every, pace.repeat, form)
    pictures = [] if camera else [_named(path) for path in expanded(images)]
    stream = PictureStream(pictures, pace.every, pace.repeat)
    with notes_of_the_client() as notes:
        with console.quiet_runtime():
            runners = local.runners()
            client = OffloadClient(request.endpoint, runners, request.sla, request.mode, options)
        with client:
            _tell(client)
            _first_contact(client, notes)
            if not camera:
                stream = replace(stream, pictures=_with_truth(pictures, images, _labels(client, runners)))
            tally = camera.ask(client) if camera else _ask(client, stream, form)
    if tally.failed:
        console.note(f"{tally.failed} of {tally.pictures} pictures have no answer")
        raise typer.Exit(1)


# Before the first request


def _named(path: str) -> NamedImage:
    from ondevice.sources import standard_input

    return NamedImage(path, standard_input() if path == "-" else path)


def _tell(client: OffloadClient) -> None:
    """What a person should know of the local models."""
    device = client.device
    for model in device.models if device else ():
        runner = model.runner
        if runner.emulation is not None:
            console.note(f"{runner.emulation}; decoding is this machine's")
        if not model.top1 and client.mode != "device":
            console.note(f"{runner.name} has no known accuracy: any answer from the cloud is preferred to its own")


def _first_contact(client: OffloadClient, notes: Notes) -> None:
    """Get to know the endpoint. Raises OffloadError where it does not answer and there is nothing else to ask."""
    known = client.ready(_READY_S)
    problem = None if known or client.cloud is None or client.device else client.cloud.problem
    notes.speak(without=str(problem) if problem else None)
    if problem:
        raise OffloadError(f"no answer from the cloud: {problem}", problem.failure)


def _labels(client: OffloadClient, runners: list[Runner]) -> Labels | None:
    """The classes of the local models, else of one of the endpoint's that is in the zoo here."""
    from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
    from ondevice.models import labels, zoo

    if runners:
        return runners[0].labels
    endpoint = client.cloud.endpoint if client.cloud else None
    for name in endpoint.names if isinstance(endpoint, CnnSelectEndpoint) else ():
        with contextlib.suppress(OnDeviceError):
            entry = zoo.find(name)
            return labels.load(entry.card.labels, entry.card_path.parent)
    return None


def _with_truth(pictures: list[NamedImage], arguments: list[str], labels: Labels | None) -> list[NamedImage]:
    """The pictures with their classes, where they are those of one labelled folder."""
    from ondevice.dataset.labelled import labelled

    if labels is None or len(arguments) > 1 or not os.path.isdir(arguments[0]):  # noqa: PTH112  # as in `expand`
        return pictures
    try:
        data = labelled(Path(arguments[0]), labels)
    except UnlabelledError:
        return pictures
    except UsageError as error:
        console.note(f"right answers are not counted: {error}")
        return pictures
    for note in data.notes:
        console.note(note)
    truth = dict(zip(data.paths, data.truth, strict=True))
    if len(truth) < len(pictures):
        console.note(f"right answers are not counted: {len(truth)} of {len(pictures)} pictures have a class")
        return pictures
    return [picture._replace(truth=truth[picture.name]) for picture in pictures]


# The requests


def _ask(client: OffloadClient, stream: PictureStream, form: Format) -> Tally:
    """Ask about all pictures and print what comes; also after Ctrl-C, which is passed on then."""
    tally, printer = Tally(stream.has_truth), _Printer(form)
    try:
        with _board(tally, client, form) as board, contextlib.closing(stream.ask(client)) as requests:
            for done in requests:
                tally.add(done)
                printer.put(done)
                if board:
                    board.add(done)
    finally:
        if tally.pictures:
            printer.finish(tally.summary(client))
    return tally


@contextlib.contextmanager
def _board(tally: Tally, client: OffloadClient, form: Format) -> Iterator[Board | None]:
    """Show the live table, unless nobody sees it or lines of JSON are shown in the same terminal already."""
    if not console.shows_progress() or (form is Format.JSONL and sys.stdout.isatty()):
        yield None
        return
    from ondevice.cli.board import Board

    board = Board(tally, client)
    with board.shown():
        yield board


class _Printer:
    """Prints requests in a format, each at once where the format allows."""

    def __init__(self, form: Format) -> None:
        self._form = form
        self._kept: list[dict[str, Any]] = []

    def put(self, done: Graded) -> None:
        """Print one, or keep it for the end; report one that has no answer."""
        if self._form is Format.JSONL:
            console.emit([done.record()], self._form)
            sys.stdout.flush()
        elif self._form is Format.JSON:
            self._kept.append(done.record())
        elif done.outcome.ok:
            self._kept.append(done.row())
        if not done.outcome.ok:
            said = str(done.outcome.result)
            named = said if said.startswith(done.outcome.image) else f"{done.outcome.image}: {said}"
            console.error(named)

    def finish(self, summary: dict[str, Any]) -> None:
        """Print what was kept, and the summary."""
        if self._form is Format.JSON:
            whole = {"requests": [console.plain(kept) for kept in self._kept], "summary": console.plain(summary)}
            print(json.dumps(whole, indent=2))
            return
        if self._kept:
            console.emit(self._kept, self._form)
        if self._form in (Format.TABLE, Format.MD):
            print()
            console.emit(lines(summary), self._form)
        else:
            sys.stdout.flush()
            print(console.table(lines(summary)), file=sys.stderr)
