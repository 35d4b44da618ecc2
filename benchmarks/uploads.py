"""What is left of the accuracy of ImageNet's MobileNets on what is sent of photos, at many sides and qualities.

    python benchmarks/uploads.py --measured FILE.csv [--only ladder,halves,usual] [--write]

What has been measured is kept in --measured, photo after photo: what was broken off goes on where it was. `ladder`: the
rungs of the models' cards. `halves`: at how many rungs two halves of the photos say the same: whether the 95 %
intervals of top-1 overlap; whether that of their difference has zero in it, beside how many do by chance, the mean of
many other halves (rungs are alike, so that they agree together or not at all); and whether that of the difference of
what is kept has (a bootstrap: what is sent and the whole file are the same photos). `usual`: what
`selection/ladder.py` takes where nothing was measured, its constants, and how far they are off these models'. --write
puts the ladder into the zoo's cards. Models and photos come from the folder that ONDEVICE_TEST_DATA names.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from ondevice.cli import console
from ondevice.dataset.labelled import labelled
from ondevice.evaluate import wilson
from ondevice.models import zoo
from ondevice.models.card import Card
from ondevice.models.uploads import MeasuredUploads
from ondevice.protocol.rung import Compression, Rung
from ondevice.rungs import FILE, evaluate_uploads
from ondevice.runner import Runner
from ondevice.selection.ladder import rising, rungs_for, usual_bytes, usual_kept
from ondevice.timing.arrays import BoolArray, FloatArray, IndexArray

MODELS = (
    "mobilenet_v1_0.25_128_quant",
    "mobilenet_v1_0.5_160_quant",
    "mobilenet_v1_0.75_192_quant",
    "mobilenet_v2_1.0_224_quant",
)
# Everything that may be worth sending of them, and a little more, for the usual table.
GRID = tuple(
    Rung(side, quality, how)
    for side in (64, 96, 128, 160, 192, 224)
    for how in Compression
    for quality in (20, 40, 60, 75, 90)
)
# Sides over a model's, the rows of the usual table; its columns are the grid's qualities.
SHARES = (0.4, 0.5, 0.6, 0.7, 0.85, 1.0, 1.25, 1.6)
QUALITIES = (20, 40, 60, 75, 90)
# At the same share of its side a smaller model keeps less: what is kept, to this power of the usual side over its own.
EXPONENT, EXPONENTS = 0.75, (0.0, 0.5, 0.75, 1.0)
USUAL_SIDE = 192  # that the table is for
Z = 1.959964  # of a 95 % interval
PARTINGS = 400  # the shares of rungs that agree are then steady in two digits
DRAWS = 4000  # of the bootstrap: its quantiles are then steady in two digits


@dataclass(frozen=True, eq=False)
class MeasuredPhotos:
    """right: [photos, 1 + u, models]; size_bytes: [photos, 1 + u]; at 0 of 1 + u is the whole file."""

    right: BoolArray
    size_bytes: FloatArray

    def some(self, rows: IndexArray) -> MeasuredPhotos:
        """Of some of the photos."""
        return MeasuredPhotos(self.right[rows], self.size_bytes[rows])

    def parted(self, seed: int) -> tuple[MeasuredPhotos, MeasuredPhotos]:
        """Two halves by lot."""
        rows = np.random.default_rng(seed).permutation(len(self.right))
        return self.some(rows[::2]), self.some(rows[1::2])

    @cached_property
    def top1(self) -> FloatArray:
        """[1 + u, models]"""
        return np.asarray(self.right.mean(axis=0))

    @property
    def kept(self) -> FloatArray:
        """[u, models]: the share of its accuracy on whole files."""
        return np.asarray(self.top1[1:] / self.top1[0])

    def kept_draws(self, seed: int) -> FloatArray:
        """[draws, u, models]: `kept` of as many photos, drawn from these."""
        n = len(self.right)
        weights = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), DRAWS)
        top1 = (weights @ self.right.reshape(n, -1) / n).reshape(DRAWS, *self.right.shape[1:])
        return np.asarray(top1[:, 1:] / top1[:, :1])


def measure(data: Path, file: Path) -> None:
    """Measure the photos that are not in the file yet."""
    with console.quiet_runtime():
        runners = [Runner(data / "tflite" / f"{name}.tflite") for name in MODELS]
    photos = labelled(data / "imagenet", runners[0].labels)
    done = {row["photo"] for row in _rows(file)}
    left = [
        (path, index) for path, index in zip(photos.paths, photos.truth, strict=True) if Path(path).name not in done
    ]
    with console.progress(len(left), "photos") as step:
        for path, truth in left:
            _append(file, [*_of_photo(runners, path, truth)])
            step(1)


def _of_photo(runners: Sequence[Runner], path: str, truth: int) -> Iterator[dict[str, str | int]]:
    each = [evaluate_uploads(runner, [(path, truth)], GRID, lambda outcome: None) for runner in runners]
    found = [{row["sent"]: row for row in one.records()} for one in each]
    for name in (FILE, *(rung.text for rung in GRID)):
        right = {runner.name: int(of[name]["top1"]) for runner, of in zip(runners, found, strict=True)}
        yield {"photo": Path(path).name, "sent": name, "bytes": found[0][name]["bytes"], **right}


def _rows(file: Path) -> list[dict[str, str]]:
    if not file.exists():
        return []
    with file.open(newline="") as lines:
        return list(csv.DictReader(lines))


def _append(file: Path, rows: Sequence[Mapping[str, str | int]]) -> None:
    """All lines of a photo in one write: what is broken off leaves no half of them."""
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0].keys(), lineterminator="\n")
    if not file.exists():
        writer.writeheader()
    writer.writerows(rows)
    with file.open("a", newline="") as lines:
        lines.write(text.getvalue())


def read(file: Path) -> MeasuredPhotos:
    """What the file has."""
    rows = _rows(file)
    per_photo = 1 + len(GRID)
    right = np.array([[row[name] == "1" for name in MODELS] for row in rows])
    sizes = np.array([float(row["bytes"]) for row in rows])
    return MeasuredPhotos(right.reshape(-1, per_photo, len(MODELS)), sizes.reshape(-1, per_photo))


def tried() -> list[Rung]:
    """What the set's cards say, in the order of the grid: what is tried of any model, for they are served together."""
    wanted = {rung for model in range(len(MODELS)) for rung in rungs_for(_side(model))}
    return [rung for rung in GRID if rung in wanted]


def uploads(found: MeasuredPhotos, model: int) -> MeasuredUploads:
    """What a model's card says."""
    size = found.size_bytes.mean(axis=0)
    places = sorted((1 + GRID.index(rung) for rung in tried()), key=lambda at: size[at])
    n = len(found.right)
    return MeasuredUploads(
        tuple(GRID[at - 1].text for at in places),
        tuple(round(size[at]) for at in places),
        tuple(round(found.top1[at, model], 4) for at in places),
        round(found.top1[0, model], 4),
        n,
        f"{n} photos of as many classes of ILSVRC-2012 (EliSchwartz/imagenet-sample-images), benchmarks/uploads.py",
    )


def ladder(found: MeasuredPhotos) -> None:
    """Print top-1 at each rung of the cards, with half the 95 % interval's width."""
    size, n = found.size_bytes.mean(axis=0), len(found.right)
    places = [0, *sorted((1 + GRID.index(rung) for rung in tried()), key=lambda at: size[at])]
    rows = []
    for at in places:
        told = {"sent": GRID[at - 1].text if at else FILE, "kB": f"{size[at] / 1e3:.1f}"}
        for model, name in enumerate(MODELS):
            top1 = found.top1[at, model]
            low, high = wilson(round(top1 * n), n)
            told[_short(name)] = f"{top1:.3f} ± {(high - low) / 2:.3f} ({top1 / found.top1[0, model]:.2f})"
        rows.append(told)
    print(f"{n} photos: top-1, and the share of that on whole files\n{console.markdown(rows)}\n")


def halves(found: MeasuredPhotos) -> None:
    """Print at how many rungs two halves agree: every second photo and the rest, and the first half and the second."""
    n = len(found.right)
    by_chance = np.mean([_agreeing(*found.parted(seed)) for seed in range(PARTINGS)], axis=0)
    for name, rows in {"Every second": np.arange(n) % 2 == 0, "The first": np.arange(n) < n // 2}.items():
        one, other = found.some(np.flatnonzero(rows)), found.some(np.flatnonzero(~rows))
        print(f"{name} of {n} photos, and the others\n{console.markdown(_compared(one, other, by_chance))}\n")


def _compared(one: MeasuredPhotos, other: MeasuredPhotos, by_chance: FloatArray) -> list[dict[str, str | int]]:
    agreeing, overlapping = _agreeing(one, other), _overlapping(one, other)
    low, high = np.quantile(one.kept_draws(1) - other.kept_draws(2), [0.025, 0.975], axis=0)
    kept = (low <= 0) & (high >= 0)
    of = np.array([GRID.index(rung) for rung in tried()])
    return [
        {
            "model": _short(name), "whole": " / ".join(f"{half.top1[0, model]:.3f}" for half in (one, other)),
            "rungs": len(of), "intervals overlap": int(overlapping[1 + of, model].sum()),
            "top-1 agrees": int(agreeing[1 + of, model].sum()),
            "by chance": f"{by_chance[1 + of, model].sum():.1f}", "kept agrees": int(kept[of, model].sum()),
            "kept apart, median": f"{np.median(np.abs(one.kept - other.kept)[of, model]):.3f}",
            "half width, median": f"{np.median((high - low)[of, model]) / 2:.3f}",
        }
        for model, name in enumerate(MODELS)
    ]  # fmt: skip


def _agreeing(one: MeasuredPhotos, other: MeasuredPhotos) -> BoolArray:
    """[1 + u, models]: whether the 95 % interval of the difference of top-1 has zero in it."""
    spread = [np.sqrt(half.top1 * (1 - half.top1) / len(half.right)) for half in (one, other)]
    return np.asarray(np.abs(one.top1 - other.top1) <= Z * np.hypot(*spread))


def _overlapping(one: MeasuredPhotos, other: MeasuredPhotos) -> BoolArray:
    """[1 + u, models]: whether the 95 % intervals of top-1 do."""
    ends = [
        np.array([[wilson(int(count), len(half.right)) for count in row] for row in half.right.sum(axis=0)])
        for half in (one, other)
    ]
    return np.asarray((ends[0][..., 0] <= ends[1][..., 1]) & (ends[1][..., 0] <= ends[0][..., 1]))


def usual(found: MeasuredPhotos) -> None:
    """Print the constants of the usual ladder, how far they are off, and what other exponents of the side would be."""
    everyone = range(len(MODELS))
    for how in Compression:
        table = _kept_table(found, everyone, how, EXPONENT)
        print(f"{how}: kept by shares {SHARES} and qualities {QUALITIES}")
        print("\n".join(f"    [{', '.join(f'{value:.2f}' for value in row)}]," for row in table))
        scale, power = _bytes_fit(found, how)
        print(f"{how}: bytes {np.round(scale, 3).tolist()} x side ** {power:.2f}\n")
    rows = [
        {
            "compression": how.value, "model": _short(MODELS[model]), "kept: now": _off(found, model, how, _now),
            **{f"left out, side ** {e:g}": _off(found, model, how, _left_out(found, model, e)) for e in EXPONENTS},
            "bytes: now": _bytes_off(found, how),
        }
        for how in Compression for model in everyone
    ]  # fmt: skip
    print(
        "What is kept and the bytes, usual less measured: root mean square (mean). now: what selection/ladder.py has; "
        f"left out: what the other models would give, with this power of the side\n{console.markdown(rows)}\n"
    )


def _now(rung: Rung, side: int) -> float:
    return usual_kept(rung, side)


def _left_out(found: MeasuredPhotos, model: int, exponent: float) -> Callable[[Rung, int], float]:
    """What the table of the other models would say."""
    others = [other for other in range(len(MODELS)) if other != model]
    tables = {how: _kept_table(found, others, how, exponent) for how in Compression}

    def kept(rung: Rung, side: int) -> float:
        at_quality = [np.interp(rung.quality, QUALITIES, row) for row in tables[rung.compression]]
        return float(np.interp(rung.side / side, SHARES, at_quality) ** ((USUAL_SIDE / side) ** exponent))

    return kept


def _off(found: MeasuredPhotos, model: int, how: Compression, kept: Callable[[Rung, int], float]) -> str:
    side = _side(model)
    places = [GRID.index(rung) for rung in tried() if rung.compression is how and rung.side >= SHARES[0] * side]
    off = np.array([kept(GRID[at], side) - min(found.kept[at, model], 1.0) for at in places])
    return f"{np.sqrt((off**2).mean()):.3f} ({off.mean():+.3f})"


def _bytes_off(found: MeasuredPhotos, how: Compression) -> str:
    size = found.size_bytes[:, 1:].mean(axis=0)
    off = np.array([usual_bytes(rung) / size[at] - 1 for at, rung in enumerate(GRID) if rung.compression is how])
    return f"{np.sqrt((off**2).mean()):.3f} ({off.mean():+.3f})"


def _kept_table(found: MeasuredPhotos, models: Iterable[int], how: Compression, exponent: float) -> FloatArray:
    """[shares, qualities]: the share of its accuracy that a model of the usual side keeps, their mean, evened out."""
    # In logarithms, for that is how the sides compare.
    each = [np.log(_of_shares(found, model, how)) * (_side(model) / USUAL_SIDE) ** exponent for model in models]
    mean = np.exp(np.mean(each, axis=0))
    return np.asarray(np.apply_along_axis(rising, 0, np.apply_along_axis(rising, 1, mean)))


def _of_shares(found: MeasuredPhotos, model: int, how: Compression) -> FloatArray:
    """[shares, qualities]: what the model keeps, linear between the sides that were tried."""
    side, columns = _side(model), []
    for quality in QUALITIES:
        places = [at for at, rung in enumerate(GRID) if (rung.compression, rung.quality) == (how, quality)]
        shares = [GRID[at].side / side for at in places]
        columns.append(np.interp(SHARES, shares, rising([min(found.kept[at, model], 1.0) for at in places])))
    return np.array(columns).T


def _side(model: int) -> int:
    return zoo.find(MODELS[model]).card.input.width


def _bytes_fit(found: MeasuredPhotos, how: Compression) -> tuple[FloatArray, float]:
    """Bytes are scale [qualities] x side ** power, by least squares of their logarithms."""
    places = [at for at, rung in enumerate(GRID) if rung.compression is how]
    sides = np.log([GRID[at].side for at in places])
    which = np.array([[GRID[at].quality == quality for quality in QUALITIES] for at in places], float)
    sizes = np.log(found.size_bytes[:, [1 + at for at in places]].mean(axis=0))
    *scale, power = np.linalg.lstsq(np.column_stack([which, sides]), sizes, rcond=None)[0]
    return np.exp(scale), float(power)


def write(found: MeasuredPhotos) -> None:
    """Put the ladder into the cards of the zoo."""
    for model, name in enumerate(MODELS):
        path = zoo.find(name).card_path
        dataclasses.replace(Card.read(path), uploads=uploads(found, model)).write(path)
        print(f"written: {path}")


def _short(name: str) -> str:
    return name.removeprefix("mobilenet_").removesuffix("_quant")


PARTS: dict[str, Callable[[MeasuredPhotos], None]] = {"ladder": ladder, "halves": halves, "usual": usual}


def main() -> None:
    """Measure what is not there yet, and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--measured", type=Path, required=True, help="a .csv to keep what is measured in")
    parser.add_argument("--only", default=",".join(PARTS), help="parts, separated by commas; none: measure alone")
    parser.add_argument("--write", action="store_true", help="write the cards of the zoo")
    given = parser.parse_args()
    data = Path(os.environ.get("ONDEVICE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
    measure(data, given.measured)
    found = read(given.measured)
    for part in given.only.split(","):
        if part != "none":
            PARTS[part](found)
    if given.write:
        write(found)


if __name__ == "__main__":
    main()
