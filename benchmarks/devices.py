"""How well do emulated devices predict published latencies? Every published model is left out of the fit and predicted.

    python benchmarks/devices.py FOLDER [--build] [--write]

FOLDER holds .tflite files named after the published models (`mobilenet_v1_1.0_224_fp32.tflite`); --build makes those
that are missing with Keras and TensorFlow's converter, with random weights, which cost the same time as trained ones
(an hour of one core). The machine should have nothing else to do. --write makes this machine the reference: it writes
the fits that ship with the cards.

Printed: for each device and kind of kernel the mean and the largest error of the models left out one by one, the mean
with whole architectures left out, and that of the shipped fit carried to this machine, which has seen the published
figures but no time of this machine except the bundled anchor's.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ondevice import host
from ondevice.cli import console
from ondevice.devices import calibration, card, timing
from ondevice.devices.calibration import Candidate
from ondevice.devices.card import Device, Fit
from ondevice.devices.timemodel import Point, TimeModel, left_out
from ondevice.models import files
from ondevice.timing.arrays import FloatArray

FITS = Path(card.__file__).parent / "fits.toml"
# What the published files were, where their name alone does not say it: ResNet V2 101 was measured at 299 pixels.
SIDES = {"resnet_v2_101": 299}
KERAS_NAMES = {"densenet": "densenet_121"}
SMALL_MS = 5.0  # for models under this a tenth of a millisecond, to which latencies are published, is percents
CALIBRATION_TENSORS = 8


def main() -> None:
    """Print, for every device that has enough published models here, how far off its emulation is."""
    arguments = _arguments()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    if arguments.build:
        build(arguments.folder)
    print(f"{host.current().cpu_model()}, {host.system.cores()} cores, one thread\n")
    measured: dict[Path, Candidate] = {}
    fits: dict[str, dict[str, Fit]] = {}
    for device in card.devices():
        points = _timed(calibration.at_hand(device, [arguments.folder]), measured)
        kinds = {p.published.kind for p in points if _count(points, p.published.kind) >= calibration.MIN_MODELS}
        if kinds:
            fits[device.name] = calibration.refit(points)
            for kind in sorted(kinds):
                report(device, kind, [p for p in points if p.published.kind == kind], fits[device.name][kind])
    if arguments.write:
        write(fits)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--build", action="store_true", help="make the models that are missing")
    parser.add_argument("--write", action="store_true", help=f"write {FITS.name}: this machine becomes the reference")
    return parser.parse_args()


def _count(points: Iterable[Candidate], kind: str) -> int:
    return sum(p.published.kind == kind for p in points)


def _timed(points: Sequence[Candidate], measured: dict[Path, Candidate]) -> list[Candidate]:
    """The points with this machine's times; what one device's points share with another's is timed once."""
    new = [p for p in points if p.path not in measured]
    with console.quiet_runtime(), console.progress(len(new) * timing.PASSES, "timing") as step:
        for point in calibration.measure(new, lambda: step(1)):
            measured[point.path] = point
    return [p._replace(timing=measured[p.path].timing) for p in points]


def report(device: Device, kind: str, candidates: Sequence[Candidate], fit: Fit) -> None:
    """Print the errors of one device and kind, model by model and in sum."""
    published = np.array([c.published.infer_ms for c in candidates])
    one_out = left_out(fit.points)
    families = [c.architecture for c in candidates]
    several = len(set(families)) > 2
    group_out = left_out(fit.points, families) if several else np.full(len(families), np.nan)
    shipped = device.fits.get(kind)
    carried = np.array([_carried(shipped, c) for c in candidates]) / published - 1
    rows = [
        {
            "model": c.published.model,
            "published_ms": c.published.infer_ms,
            "here_ms": c.timing.host_ms if c.timing else None,
            "left out": f"{one:+.1%}",
            "architecture left out": f"{group:+.1%}" if several else "",
            "shipped fit": f"{shipped_error:+.1%}" if shipped else "",
        }
        for c, one, group, shipped_error in zip(candidates, one_out, group_out, carried, strict=True)
    ]
    print(f"{device.name}, {kind}: {len(rows)} models; {_missing(device, kind, candidates)}\n")
    print(console.table(rows, ".2f"))
    line, large = TimeModel(fit.points).line, published > SMALL_MS
    print(f"\n{line.overhead_ms:.3g} ms + {line.factor:.3g} x, and what similar models are off")
    print(
        f"each left out:            {_errors(one_out)}, largest over {SMALL_MS:g} ms {np.abs(one_out[large]).max():.1%}"
    )
    print(f"by the line alone:        {_errors(_line_left_out(fit.points))}")
    if several:
        print(f"architectures left out:   {_errors(group_out)}")
    if shipped:
        print(f"shipped, not calibrated:  {_errors(carried)} (of a fit that has seen these published times)")
    print()


def _carried(fit: Fit | None, candidate: Candidate) -> float:
    if fit is None or candidate.timing is None:
        return float("nan")
    return fit.predict(candidate.timing.relative, candidate.path.stat().st_size)


def _line_left_out(points: Sequence[Point]) -> FloatArray:
    """Overhead + factor alone, for comparison."""
    return np.array(
        [
            TimeModel([*points[:i], *points[i + 1 :]]).line(p.reference_ms) / p.device_ms - 1
            for i, p in enumerate(points)
        ]
    )


def _errors(errors: FloatArray) -> str:
    return f"mean |error| {np.abs(errors).mean():.1%}, largest {np.abs(errors).max():.1%}"


def _missing(device: Device, kind: str, points: Sequence[Candidate]) -> str:
    here = {p.published.model for p in points}
    names = [lat.model for lat in device.published() if lat.kind == kind and lat.model not in here]
    return f"published, but no such file or another graph: {', '.join(names) or 'none'}"


def build(folder: Path) -> None:
    """Make every published model that can be rebuilt and is missing."""
    from ondevice.converters.architectures import catalogue
    from ondevice.converters.export import saver, tensorflow, to_tflite

    known = set(catalogue.names())
    wanted = {(lat.model, lat.kind) for device in card.devices() for lat in device.latencies}
    for model, kind in sorted(wanted):
        keras_name = KERAS_NAMES.get(model, model)
        precision = "fp32" if kind == "float" else "int8"
        path = folder / f"{model}_{precision}.tflite"
        if path.exists() or keras_name not in known:
            continue
        tensorflow().keras.backend.clear_session()
        network = catalogue.build(keras_name, SIDES.get(model))
        rng = np.random.default_rng(0)
        shape = (CALIBRATION_TENSORS, 1, *network.input_shape[1:])
        content = to_tflite(saver(network), precision, list(rng.uniform(-1, 1, shape).astype(np.float32)))
        part = path.with_suffix(".part")
        part.write_bytes(content)
        part.rename(path)
        print(f"{path.name}: {len(content) / 1e6:.1f} MB", file=sys.stderr)


def write(fits: dict[str, dict[str, Fit]]) -> None:
    """Write the fits that ship with the cards."""
    lines = ["# Written by benchmarks/devices.py --write. The fields are those of ondevice.devices.card.Fit."]
    for device, kinds in sorted(fits.items()):
        for kind, fit in sorted(kinds.items()):
            lines += ["", f"[{device}.{kind}]", *(f"{k} = {_toml(v)}" for k, v in asdict(fit).items())]
    with files.replacing(FITS) as out:
        out.write("\n".join([*lines, ""]).encode())


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return "[\n" + "".join(f"  [{', '.join(f'{v:.6g}' for v in point)}],\n" for point in value) + "]"
    return f'"{value}"' if isinstance(value, str) else f"{value:.6g}"


if __name__ == "__main__":
    main()
