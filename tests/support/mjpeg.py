"""JPEG pictures as cameras send them, and an IP camera that plays what it is told to."""

from __future__ import annotations

import io
import random

import numpy as np
from PIL import Image
from rude import Behaviour, Visit, http

BOUNDARY = "frame"
MULTIPART = {"Content-Type": f"multipart/x-mixed-replace; boundary={BOUNDARY}", "Connection": "close"}


def picture(number: int = 0, side: int = 64, noise: int = 0, exif: bytes = b"", progressive: bool = False) -> bytes:
    """A JPEG of its own for each number. noise: how many grey levels its pixels differ from it by, at most."""
    rng = np.random.default_rng(number)
    pixels = np.kron(rng.integers(30, 226, (8, 8, 3)), np.ones((side // 8, side // 8, 1)))
    pixels += rng.integers(-noise, noise + 1, pixels.shape)
    out = io.BytesIO()
    image = Image.fromarray(pixels.astype(np.uint8))
    image.save(out, "JPEG", quality=90, exif=exif, progressive=progressive)
    return out.getvalue()


def with_thumbnail(number: int = 0) -> bytes:
    """A JPEG that has another one in its EXIF segment, as cameras' files do."""
    return picture(number, exif=b"Exif\0\0" + picture(number + 1000, 32))


def part(frame: bytes) -> bytes:
    """A frame of a multipart stream."""
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(frame)}\r\n\r\n"
    return head.encode() + frame + b"\r\n"


def garbage(count: int, seed: int = 1) -> bytes:
    """Bytes that look like anything, but do not begin a picture."""
    return random.Random(seed).randbytes(count).replace(b"\xff\xd8", b"\xff\xd0")


def sending(*links: list[bytes], hold: bool = False) -> Behaviour:
    """A camera: on each new link the next list of frames, after the last list nothing.

    hold: it keeps the last open, and sends line ends: a silent one is given up, however busy the machine is.
    """

    def behave(visit: Visit) -> None:
        if visit.next() is None:
            return
        last = visit.number >= len(links) - 1
        visit.send(http(headers=MULTIPART, length=-1))
        for frame in links[min(visit.number, len(links) - 1)]:
            visit.send(part(frame))
        while hold and last:
            visit.send(b"\r\n")
            visit.pause(1)

    return behave
