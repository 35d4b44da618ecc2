"""The flags of streams of pictures, and what they mean together with the pictures that are given."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ondevice.errors import UsageError

if TYPE_CHECKING:
    from ondevice.frames.latest import LatestFrames
    from ondevice.frames.source import FrameSource

# What both commands say of the pictures they take.
STREAMS = (
    "Or one stream: mjpeg:- (what rpicam-vid or ffmpeg write), http://HOST/PATH (an MJPEG camera), or a film, by "
    "ffmpeg; then always the newest frame, a line each."
)


@dataclass(frozen=True)
class FrameFlags:
    """How a stream of pictures is taken."""

    watch: Annotated[
        Path | None,
        typer.Option(
            "--watch",
            metavar="FOLDER",
            help="Instead of IMAGE...: a stream of the pictures that appear in the folder from now on.",
            show_default=False,
        ),
    ] = None
    changed: Annotated[
        float | None,
        typer.Option(
            "--changed",
            metavar="SHARE",
            help="Of a stream, pass over frames that differ from the last one in less than this share, such as 0.02.",
            show_default="take all",
        ),
    ] = None

    def latest(self, source: FrameSource, every_ms: float | None = None) -> LatestFrames:
        """Its newest frames. Raises UsageError."""
        from ondevice.frames.latest import LatestFrames

        return LatestFrames(source, self.changed, every_ms)

    def source(self, images: list[str]) -> FrameSource | None:
        """The stream that is asked for, if one is. Raises UsageError, MissingError."""
        if self.watch is not None:
            from ondevice.frames.folder import WatchedFolder

            if images:
                raise UsageError("--watch FOLDER takes the place of IMAGE...: give one or the other")
            return WatchedFolder(self.watch)
        if not images:
            raise UsageError("Missing argument 'IMAGE...'.")
        found = _found(images)
        if found is None and self.changed is not None:
            raise UsageError("--changed is for streams: mjpeg:-, http://…, a film or --watch FOLDER")
        return found


def _found(images: list[str]) -> FrameSource | None:
    from ondevice.frames import sources

    if len(images) == 1:
        return sources.find(images[0]) if sources.means_stream(images[0]) else None
    # A film among a phone's pictures is one that cannot be read, and costs itself alone.
    if live := next(filter(sources.is_live, images), None):
        raise UsageError(f"{live} is a stream, which never ends: give it alone")
    return None
