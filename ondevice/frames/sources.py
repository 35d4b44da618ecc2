"""Which source of frames a text means."""

from __future__ import annotations

import os
from pathlib import PurePath
from typing import TYPE_CHECKING

from ondevice.errors import UsageError

if TYPE_CHECKING:
    from ondevice.frames.source import FrameSource

_PIPE = "mjpeg:"
_WEB = ("http://", "https://")
# Files that hold films: the usual ones, which no picture has.
_FILMS = frozenset({".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".3gp", ".mjpeg", ".mjpg"})


def is_live(text: str) -> bool:
    """Whether it means a pipe or a camera, which cannot be a picture's name."""
    return text.startswith(_PIPE) or text.lower().startswith(_WEB)


def means_stream(text: str) -> bool:
    """Whether it is for `find`, and not a picture."""
    return is_live(text) or _is_film(text)


def find(text: str) -> FrameSource:
    """The source: `mjpeg:-` or `mjpeg:PATH`, an http(s) address, or the file of a film.

    Raises UsageError for anything else, and MissingError for a film without ffmpeg.
    """
    if text.startswith(_PIPE):
        from ondevice.frames.pipe import MjpegPipe

        return MjpegPipe(text.removeprefix(_PIPE))
    if text.lower().startswith(_WEB):
        from ondevice.frames.web import WebCamera

        return WebCamera(text)
    if _is_film(text):
        from ondevice.frames.film import Film

        return Film(text)
    raise UsageError(f"{text} is not a stream of pictures: there are mjpeg:-, http://… and files of films")


def _is_film(text: str) -> bool:
    return PurePath(text).suffix.lower() in _FILMS and os.path.isfile(text)  # noqa: PTH113  # Path raises on odd names
