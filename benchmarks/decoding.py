"""What decoding JPEGs at a smaller scale changes in the answers, and what it saves of the time.

`shares`: how often the best class is the one of `--full-decode`, of the photos as they are and made so large that the
network sees so many pixels, a side, for each of its own. Beside it: the same where a class of an equal score counts,
too; and how often the best class stays when, of the whole picture, the last bit of every hundredth value is changed:
any other way of decoding changes more. `saves`: the time to the tensor, scaled over full. `camera`: photos of 12
megapixels to their five best classes, against MediaPipe Tasks. With `--against PYTHON` the shares of another ondevice
stand beside this one's. Models and photos come from the folder that ONDEVICE_TEST_DATA names.

    python benchmarks/decoding.py --only shares --against ../ondevice-0.1.0/.venv/bin/python
"""

from __future__ import annotations

import argparse
import csv
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from typing import Any

import numpy as np
import versions
from PIL import Image
from runner import LARGE, SMALL, Setup, against_mediapipe, find_setup, is_colour
from versions import in_turn

from ondevice.cli import console
from ondevice.protocol.picture import jpeg_scale
from ondevice.runner import Runner

MODELS = (SMALL, "mobilenet_v1_0.5_160_quant", "mobilenet_v1_0.75_192_quant", LARGE)
# 0: as they are. On both sides of where a scale begins, 0.1.0's (2, 4, 8) and this version's (5, 10).
SIZES = (0.0, 1.1, 1.5, 1.9, 2.2, 2.9, 3.9, 4.9, 5.1, 7.9, 10.1)
CAMERA = (4000, 3000)
CAMERA_PHOTOS = 20
CHANGED = 0.01  # the share of values: with another decoder or processor it would be more
# Sharp and hardly compressed, as what comes from a camera; Pillow's 4:2:0, as there.
QUALITY = 92
GOAL = 1 / 5  # of MediaPipe's time, for the smallest model and photos of 12 megapixels

Record = dict[str, object]


@dataclass(frozen=True)
class Job:
    """What all parts share. against: another environment's Python."""

    setup: Setup
    photos: list[Path]
    models: Sequence[str]
    sizes: Sequence[float]
    against: str | None


def main() -> None:
    """Run the parts that are asked for and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", metavar="PARTS", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument(
        "--models", metavar="NAMES", default=",".join(MODELS), help="of the four, by any part of a name"
    )
    parser.add_argument("--sizes", metavar="TIMES", default=",".join(map(str, SIZES)), help="for `shares`; 0: as it is")
    parser.add_argument("--every", metavar="N", type=int, default=1, help="take every Nth photo (1)")
    parser.add_argument("--rounds", metavar="N", type=int, default=5, help="times everything is timed (5)")
    parser.add_argument("--against", metavar="PYTHON", help="the Python of another ondevice's environment")
    given = parser.parse_args()
    shared = find_setup(given.rounds)
    photos = sorted((shared.models.parent / "imagenet").glob("*.JPEG"))[:: given.every]
    models = [name for name in MODELS if any(part in name for part in given.models.split(","))]
    job = Job(shared, photos, models, [float(size) for size in given.sizes.split(",")], given.against)
    for part in given.only.split(","):
        if records := list(PARTS[part](job)):
            print(f"\n{console.table(records, '.3f')}", flush=True)


# --- Answers


def shares(job: Job) -> Iterator[Record]:
    """A line for each model and size of the photos."""
    print(f"shares: {len(job.photos)} photos; x 1.1: with 1.1 pixels, a side, for each of the network's")
    for name in job.models:
        with console.quiet_runtime():
            counts = Counts(Runner(job.setup.model(name)), Runner(job.setup.model(name), scaled_decode=False))
        with _other(job, name) as other:
            for size in job.sizes:
                yield {"model": name.removesuffix("_quant"), **counts.record(job, size, other)}


def _other(job: Job, name: str) -> Any:
    if job.against is None:
        return nullcontext()
    return versions.Classifier(versions.sides(job.against)[1], job.setup.model(name))


class Counts:
    """The answers to one model's photos, compared."""

    def __init__(self, scaled: Runner, full: Runner) -> None:
        self._scaled, self._full = scaled, full

    def record(self, job: Job, size: float, other: versions.Classifier | None) -> Record:
        """Of all photos at one size."""
        truths = _truths(job)
        with TemporaryDirectory() as folder:
            rows = [
                self._row(self._made(path, size, Path(folder)), truths[path.name[:9]], other) for path in job.photos
            ]
        share = {key: statistics.fmean(row[key] for row in rows) for key in rows[0]}
        return {"photos": f"x {size:g}" if size else "as they are", **share}

    def _row(self, path: Path, truth: int, other: versions.Classifier | None) -> dict[str, float]:
        tensor = self._full.prepare(path)
        best, ours = self._full.best(self._full.model.invoke(tensor), 5), self._scaled.classify(path).top
        scores = {found.index: found.score for found in ours}
        changed = self._full.best(self._full.model.invoke(_last_bits(tensor)), 1)
        row = {
            "scaled": self._scale(path) > 1, "same": ours[0].index == best[0].index,
            "same or level": scores.get(best[0].index) == ours[0].score
            or any(found.index == ours[0].index and found.score == best[0].score for found in best),
            "last bits": changed[0].index == best[0].index,
            "top-1, full": best[0].index == truth, "top-1": ours[0].index == truth,
        }  # fmt: skip
        if other:
            theirs = other.classify(str(path)).index
            row |= {"same, old": theirs == best[0].index, "top-1, old": theirs == truth}
        return row

    def _ratio(self, size: tuple[int, int]) -> float:
        wanted = self._full.input
        return min(size[0] / wanted.width, size[1] / wanted.height) * wanted.crop

    def _scale(self, path: Path) -> int:
        with Image.open(path) as image:
            return jpeg_scale(image.size, self._ratio(image.size))

    def _made(self, path: Path, size: float, folder: Path) -> Path:
        if not size:
            return path
        with Image.open(path) as image:
            times = size / self._ratio(image.size)
            resized = image.resize((round(image.width * times), round(image.height * times)), Image.Resampling.LANCZOS)
        made = folder / "photo.jpg"
        resized.save(made, quality=QUALITY)
        return made


def _last_bits(tensor: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return tensor ^ (np.random.default_rng(1).random(tensor.shape) < CHANGED).astype(tensor.dtype)


def _truths(job: Job) -> dict[str, int]:
    with (job.setup.models.parent / "imagenet" / "labels.csv").open(encoding="utf-8") as file:
        return {row["wnid"]: int(row["index"]) for row in csv.DictReader(file)}


# --- Times


def saves(job: Job) -> Iterator[Record]:
    """From the file to the tensor, scaled and full: CPU time, as what else the machine does is in no other."""
    print(f"saves: CPU ms, medians of {job.setup.rounds} rounds, the sides in turn")
    with TemporaryDirectory() as folder:
        kinds = {"as they are": job.setup.photos, "12 megapixels": _camera(job, Path(folder), _enlarged)}
        for name in job.models:
            with console.quiet_runtime():
                runners = [Runner(job.setup.model(name), scaled_decode=on) for on in (True, False)]
            for kind, photos in kinds.items():
                sides = (partial(_preparing_ms, runner) for runner in runners)
                scaled, full = versions.medians(in_turn(*sides, photos, job.setup.rounds))
                yield {
                    "model": name.removesuffix("_quant"), "photos": kind, "scaled_ms": scaled, "full_ms": full,
                    "scaled / full": scaled / full,
                }  # fmt: skip


def _preparing_ms(runner: Runner, photo: str) -> float:
    start = process_time()
    runner.prepare(photo)
    return (process_time() - start) * 1e3


def camera(job: Job) -> Iterator[Record]:
    """Against MediaPipe, photos of 12 megapixels."""
    for make in (_enlarged, _tiled):
        with TemporaryDirectory() as folder:
            photos = _camera(job, Path(folder), make)
            kilobytes = statistics.median(Path(photo).stat().st_size for photo in photos) / 1e3
            print(
                f"camera: {len(photos)} photos, {make.__doc__}, {CAMERA[0]} x {CAMERA[1]}, {kilobytes:.0f} kB",
                flush=True,
            )
            for name in (SMALL, LARGE):
                goal = GOAL if (name, make) == (SMALL, _enlarged) else None
                row = against_mediapipe(job.setup, photos, name, None, goal).record()
                yield {"photos": make.__name__.strip("_"), **row}


def _camera(job: Job, folder: Path, make: Callable[[list[str], int], Image.Image]) -> list[str]:
    colour = [photo for photo in job.setup.photos if is_colour(photo)]
    paths = [folder / f"{number}.jpg" for number in range(min(CAMERA_PHOTOS, len(colour)))]
    for number, path in enumerate(paths):
        make(colour, number).save(path, quality=QUALITY)
    return [str(path) for path in paths]


def _enlarged(photos: list[str], number: int) -> Image.Image:
    """each of one photo, enlarged"""
    with Image.open(photos[number]) as image:
        times = max(CAMERA[0] / image.width, CAMERA[1] / image.height)
        left, top = (max(side - wanted / times, 0) / 2 for side, wanted in zip(image.size, CAMERA, strict=True))
        return image.resize(CAMERA, Image.Resampling.BICUBIC, (left, top, image.width - left, image.height - top))


def _tiled(photos: list[str], number: int) -> Image.Image:
    """each of many photos, side by side"""
    whole, tile = Image.new("RGB", CAMERA), (500, 375)
    places = [(x, y) for y in range(0, CAMERA[1], tile[1]) for x in range(0, CAMERA[0], tile[0])]
    for position, place in enumerate(places):
        with Image.open(photos[(number + position) % len(photos)]) as image:
            whole.paste(image.resize(tile), place)
    return whole


PARTS: dict[str, Callable[[Job], Iterator[Record]]] = {part.__name__: part for part in (shares, saves, camera)}

if __name__ == "__main__":
    main()
