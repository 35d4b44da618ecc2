"""How often a model is right on what is sent of photos, and on progressive JPEGs of which only a part has come.

`progressive.py` has this measured, and simulates links with it. What is sent is the centre crop of 0.875, as networks
see it, resized to a side and saved with a quality; the model takes all of it. Kept photo after photo, so that what was
broken off goes on where it was: `whole.csv`, a line for each upload with its bytes (of a JPEG, 4:2:0, also those with
tables of its own and as a progressive one, which have the same pixels), for the file first, of which the device's
answer counts too; and `cuts.csv`, progressive JPEGs of which only the first bytes have come, cut where a packet ends,
or a fifth of one: a picture of five times the bytes has fallen into as many packets.
"""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFile

from ondevice import Runner
from ondevice.cli import console
from ondevice.dataset.labelled import labelled
from ondevice.errors import ImageError
from ondevice.image import pixels
from ondevice.models.card import Input
from ondevice.preprocess import Preprocessor
from ondevice.timing.arrays import BoolArray, FloatArray

SIDES = (96, 128, 160, 192, 224, 256)
JPEG_QUALITIES, WEBP_QUALITIES = (20, 30, 40, 50, 60, 75, 90), (20, 40, 60, 75, 90)
# Those of which a part may be enough: as large as the network's input, or a little larger; side, quality. At 90 as many
# bytes of a beginning show less, and who has time for all of it sends it as a whole.
PROGRESSIVE = ((224, 75), (256, 75))
# What a packet of 1500 bytes carries of a TCP stream with time stamps.
PACKET_BYTES = 1448
# Into so many parts a packet is cut: the largest factor by which `progressive.py` enlarges pictures.
PARTS = 5
# What goes before a picture; it fills a part, so that what has come after whole packets was measured.
HEAD_BYTES = -(-PACKET_BYTES // PARTS)
# WebPs are as small as Pillow makes them by itself; the client hurries (`ondevice/upload.py`): so many times the bytes.
WEBP_TIMES = 1.06
# A size must be right so much more often than a smaller one to be worth a place among the sizes.
STEP = 0.004
SHARES = np.linspace(0, 1, 21)  # at which it is told how often a part is enough
Row = dict[str, Any]
Line = dict[str, str]


class Receiver:
    """A model that takes all of a sent picture."""

    def __init__(self, path: Path) -> None:
        with console.quiet_runtime():
            self.runner = Runner(path)
        self._input = replace(self.runner.input, crop=1.0)
        model = self.runner.model
        self._preprocess = Preprocessor(self._input, model.input, model.channels_first)

    def best(self, body: bytes) -> int:
        """The index of the best class. Raises ImageError."""
        tensor = self._preprocess.tensor(pixels(body, self._input))
        return self.runner.best(self.runner.model.invoke(tensor), 1)[0].index

    def best_of_part(self, body: bytes) -> int:
        """That of what has come of a progressive JPEG; -1: nothing can be seen in it yet."""
        # Pillow has this for the whole process; nothing else decodes here meanwhile.
        ImageFile.LOAD_TRUNCATED_IMAGES = True
        try:
            return self.best(without_torn_segment(body))
        except ImageError:
            return -1
        finally:
            ImageFile.LOAD_TRUNCATED_IMAGES = False


def without_torn_segment(body: bytes) -> bytes:
    """What has come of a JPEG, up to a table or a scan's header of which only a part is there.

    Such a part makes Pillow give a black picture, which 3 % of all cuts meet.
    """
    at = len(body)
    while (at := body.rfind(b"\xff", 0, at)) >= 0:
        marker = body[at + 1 : at + 2]
        if marker and (marker == b"\0" or 0xD0 <= marker[0] <= 0xD9):  # of a scan's data; such have no length
            continue
        length = int.from_bytes(body[at + 2 : at + 4]) if len(body) >= at + 4 else len(body)
        return body[:at] if at + 2 + length > len(body) else body
    return body


def jpeg(image: Image.Image, quality: int, **how: bool) -> bytes:
    """A JPEG, 4:2:0."""
    made = io.BytesIO()
    image.save(made, "JPEG", quality=quality, subsampling="4:2:0", **how)
    return made.getvalue()


def sent(image: Image.Image, form: str, quality: int) -> tuple[bytes, tuple[int, int, int]]:
    """What is sent of a picture that has its side already; its bytes, with tables of its own, as a progressive JPEG."""
    if form == "jpeg":
        body = jpeg(image, quality)
        return body, (len(body), len(jpeg(image, quality, optimize=True)), len(jpeg(image, quality, progressive=True)))
    made = io.BytesIO()
    image.save(made, "WEBP", quality=quality)
    return made.getvalue(), (made.tell(),) * 3


def cropped(path: str, side: int) -> Image.Image:
    """The part of a photo that networks see, of this side."""
    return Image.fromarray(pixels(path, Input(side, side)))


class Bench(NamedTuple):
    """The model on the device, which sees files alone, and that at the endpoint."""

    device: Receiver
    model: Receiver

    def whole(self, path: str, truth: int) -> Iterator[Row]:
        """The lines of a photo, for its file first."""
        file = Path(path).read_bytes()
        device, model = (int(each.runner.classify(file, 1).index == truth) for each in self)
        yield _line(path, ("file", 0, 0), (len(file),) * 3) | {"device": device, "model": model}
        for side in SIDES:
            image = cropped(path, side)
            for form, qualities in {"jpeg": JPEG_QUALITIES, "webp": WEBP_QUALITIES}.items():
                for quality in qualities:
                    body, sizes = sent(image, form, quality)
                    right = int(self.model.best(body) == truth)
                    yield _line(path, (form, side, quality), sizes) | {"device": "", "model": right}

    def cuts(self, path: str, truth: int) -> Iterator[Row]:
        """The lines of a photo's progressive JPEGs."""
        for side, quality in PROGRESSIVE:
            body = jpeg(cropped(path, side), quality, progressive=True)
            for step in range(1, -(-len(body) * PARTS // PACKET_BYTES) + 1):
                right = int(self.model.best_of_part(body[: step * PACKET_BYTES // PARTS]) == truth)
                known = {"photo": Path(path).name, "side": side, "quality": quality, "whole": len(body)}
                yield known | {"step": step, "model": right}


def _line(path: str, upload: tuple[str, int, int], sizes: Sequence[int]) -> Row:
    known = dict(zip(("format", "side", "quality"), upload, strict=True))
    return {"photo": Path(path).name} | known | dict(zip(("bytes", "optimized", "progressive"), sizes, strict=True))


def measure(bench: Bench, photos: Path, cache: Path) -> None:
    """Measure the photos that are not in the cache yet."""
    cache.mkdir(parents=True, exist_ok=True)
    found = labelled(photos, bench.model.runner.labels)
    for name, lines in {"whole": bench.whole, "cuts": bench.cuts}.items():
        file = cache / f"{name}.csv"
        done = {line["photo"] for line in _lines(file)} if file.exists() else set()
        left = [each for each in zip(found.paths, found.truth, strict=True) if Path(each[0]).name not in done]
        with console.progress(len(left), name) as step:
            for path, truth in left:
                _append(file, list(lines(path, truth)))
                step(1)


def _append(file: Path, rows: Sequence[Row]) -> None:
    """All lines of a photo in one write: what is broken off leaves no half of them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    if not file.exists():
        writer.writeheader()
    writer.writerows(rows)
    with file.open("a", newline="") as lines:
        lines.write(text.getvalue())


# --- What was measured, to be simulated with


@dataclass(frozen=True, eq=False)
class Option:
    """A way to send pictures.

    sizes [photos]: of the files. right: for each photo whether the answer is right after each part of a packet,
    [parts]; for an upload that must be whole the last one alone. curve [21]: how often it is by the share that has
    come. times: its bytes are so many times what was measured. share: of the file that is sent.
    """

    name: str
    sizes: NDArray[np.int64]
    right: Sequence[BoolArray]
    curve: FloatArray
    anytime: bool
    times: float = 1.0
    share: float = 1.0

    @cached_property
    def mean_bytes(self) -> float:
        """What is sent in the mean."""
        return self.times * self.share * float(self.sizes.mean())

    def body_bytes(self, photo: int) -> float:
        """What is sent of a photo."""
        return self.times * self.share * float(self.sizes[photo])

    def packets(self, photo: int) -> int:
        """Of a photo's upload."""
        return math.ceil((HEAD_BYTES + self.body_bytes(photo)) / PACKET_BYTES)

    @property
    def top1(self) -> float:
        """How often the answer is right when all that is sent has come."""
        return float(np.interp(self.share, SHARES, self.curve))

    def is_right(self, photo: int, packets: int) -> bool:
        """Whether the answer from so many packets is."""
        steps = self.right[photo]
        if self.share == 1 and packets >= self.packets(photo):
            return bool(steps[-1])
        came = min((packets * PACKET_BYTES - HEAD_BYTES) / self.times, self.share * float(self.sizes[photo]))
        # A little more, for what should be whole and is not in floats.
        step = int(came * PARTS / PACKET_BYTES + 1e-6)
        return step > 0 and bool(steps[min(step, len(steps)) - 1])


def curve(sizes: NDArray[np.int64], right: Sequence[BoolArray]) -> FloatArray:
    """[21]: how often pictures are right by the share that has come, never falling."""
    steps = (SHARES[:, None] * sizes * PARTS / PACKET_BYTES).astype(int)
    steps[-1] = [len(each) for each in right]
    found = [[step > 0 and each[step - 1] for each, step in zip(right, row, strict=True)] for row in steps]
    return np.maximum.accumulate(np.mean(found, axis=1))


@dataclass(frozen=True, eq=False)
class Pictures:
    """What was measured of them. device [photos]: whether the device's answer is right."""

    device: BoolArray
    jpegs: Sequence[Option]
    webps: Sequence[Option]
    progressive: Sequence[Option]

    @classmethod
    def read(cls, cache: Path) -> Pictures:
        """What `measure` has kept."""
        whole, cuts = _grouped(_lines(cache / "whole.csv"), "format"), _grouped(_lines(cache / "cuts.csv"))
        device = np.array([line["device"] == "1" for line in whole.pop(("file", 0, 0))])
        # As a whole a progressive JPEG may be the smaller one, and those sizes choose by what is smaller.
        ways = [(key, size) for key in whole if key[0] == "jpeg" for size in ("optimized", "progressive")]
        jpegs = [_whole(key, whole[key], size) for key, size in ways]
        webps = [_whole(key, whole[key], "bytes", WEBP_TIMES) for key in whole if key[0] == "webp"]
        return cls(device, jpegs, webps, [_progressive(key, cuts[key]) for key in PROGRESSIVE])

    def enlarged(self, times: float) -> Pictures:
        """With so many times the bytes."""
        jpegs, webps, progressive = (
            [replace(option, times=times) for option in options]
            for options in (self.jpegs, self.webps, self.progressive)
        )
        return Pictures(self.device, jpegs, webps, progressive)

    @property
    def all(self) -> Sequence[Option]:
        """Every way to send them."""
        return (*self.jpegs, *self.webps, *self.progressive)

    @cached_property
    def top1(self) -> float:
        """Of the device."""
        return float(self.device.mean())


def front(options: Sequence[Option]) -> list[Option]:
    """Those than which no smaller one is as often right."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda option: option.mean_bytes):
        if option.top1 >= (kept[-1].top1 if kept else 0) + STEP:
            kept.append(option)
    return kept


def _lines(file: Path) -> list[Line]:
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _grouped(lines: Sequence[Line], *also: str) -> dict[Any, list[Line]]:
    grouped = defaultdict(list)
    for line in lines:
        grouped[*(line[name] for name in also), int(line["side"]), int(line["quality"])].append(line)
    return dict(grouped)


def _whole(key: tuple[str, int, int], lines: Sequence[Line], size: str, times: float = 1.0) -> Option:
    right = [np.array([line["model"] == "1"]) for line in lines]
    sizes = np.array([round(int(line[size]) * times) for line in lines])
    return Option("{} {}, {}".format(*key), sizes, right, np.append(np.zeros(20), np.mean(right)), False)


def _progressive(key: tuple[int, int], lines: Sequence[Line]) -> Option:
    right, sizes = defaultdict(list), {}
    for line in lines:
        right[line["photo"]].append(line["model"] == "1")
        sizes[line["photo"]] = int(line["whole"])
    whole, steps = np.array(list(sizes.values())), [np.array(each) for each in right.values()]
    return Option("progressive {}, {}".format(*key), whole, steps, curve(whole, steps), True)
