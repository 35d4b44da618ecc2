"""A stream of pictures that come by themselves, asked of the offload client."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from ondevice.answer import Outcome
from ondevice.cli import console
from ondevice.cli.console import Format
from ondevice.cli.frame_flags import FrameFlags
from ondevice.cli.frame_lines import FrameLines
from ondevice.cli.tally import Graded, Tally, lines
from ondevice.errors import UsageError

if TYPE_CHECKING:
    from ondevice.client.offload import OffloadClient
    from ondevice.frames.latest import LatestFrames


class Camera:
    """What is asked, and how it is printed."""

    def __init__(self, latest: LatestFrames, printer: FrameLines, form: Format) -> None:
        self._latest, self._printer, self._form = latest, printer, form

    @classmethod
    def of(
        cls, flags: FrameFlags, images: list[str], every_ms: float | None, repeat: int, form: Format
    ) -> Camera | None:
        """The stream that is meant, if one is. Raises UsageError, MissingError."""
        if (source := flags.source(images)) is None:
            return None
        if repeat > 1:
            raise UsageError("--repeat is for pictures: a stream comes once")
        return cls(flags.latest(source, every_ms), FrameLines(source, form), form)

    def ask(self, client: OffloadClient) -> Tally:
        """Ask about the newest frame, again and again, until the stream ends or Ctrl-C; then print the figures."""
        tally = Tally(has_truth=False)
        try:
            with self._printer.counting(self._latest):
                for answer in client.stream(self._latest):
                    done = Graded(Outcome(str(answer.frame.number), answer.result), None)
                    tally.add(done)
                    self._printer.put(answer, done.record())
        finally:
            if tally.pictures:
                self._sum_up(tally, client)
        return tally

    def _sum_up(self, tally: Tally, client: OffloadClient) -> None:
        out = sys.stdout if self._form is Format.TABLE else sys.stderr
        print("\n" * (out is sys.stdout) + console.table(lines(tally.summary(client))), file=out)
