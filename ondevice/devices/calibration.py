"""Refit a device's time model on this host, with the models at hand; kept per host and device."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from ondevice import host, records, runtime, trial
from ondevice.devices import timing
from ondevice.devices.card import Device, Fit, Latency
from ondevice.devices.timemodel import KINDS, MIN_MODELS, Point, left_out
from ondevice.errors import CardError, EmulationError, ModelError, UsageError
from ondevice.host.clocks import MAX_OTHERS, Clocks
from ondevice.models import files, zoo
from ondevice.runtime import Model

# A file whose size differs by more is another graph than the one that was published. Quantized ones carry a scale a
# channel now, and a scale a tensor then.
MAX_SIZE_OFF = {"float": 0.10, "quant": 0.20}
_SUFFIX = re.compile(r"_(fp32|fp16|float|int8|uint8|quant)$")


class Candidate(NamedTuple):
    """A published model that is at hand: its file, the published latency, and this host's timing once measured."""

    path: Path
    published: Latency
    timing: timing.Timing | None = None

    def point(self, anchor_ms: float) -> Point:
        """The model, once timed, as the time model takes it: in ms of a machine whose anchor takes `anchor_ms`."""
        if self.timing is None:
            raise ValueError(f"{self.path} has not been timed")
        return Point(self.timing.relative * anchor_ms, self.path.stat().st_size / 1e6, self.published.infer_ms)

    @property
    def architecture(self) -> str:
        """The published name without width, resolution and size."""
        return re.sub(r"(_\d+(\.\d+)?)+$|(?<=_lite)\d$", "", self.published.model)


def _path(device: str) -> Path:
    return files.data_dir() / "devices" / f"{device}.{timing.host_key(runtime.get())}.json"


def load(device: str) -> dict[str, Fit]:
    """This host's calibration of the device, by kind; empty where there is none. Raises CardError for a corrupt one."""
    path = _path(device)
    try:
        return records.read(dict[str, Fit], json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CardError(
            f"{path}: corrupt calibration ({error}); delete it, or run `ondevice devices calibrate {device}` again",
            str(path),
        ) from error


def save(device: str, fits: dict[str, Fit]) -> Path:
    """Keep a calibration for this host; gives where. Raises OnDeviceError where that cannot be written."""
    path = _path(device)
    try:
        with files.replacing(path) as out:
            out.write(json.dumps({kind: dataclasses.asdict(f) for kind, f in fits.items()}, indent=1).encode())
    except OSError as error:
        raise files.explain(error, path) from error
    return path


def at_hand(device: Device, folders: Iterable[Path]) -> list[Candidate]:
    """The published models whose files are in the zoo or in `folders`, by name (`mobilenet_v2_1.0_224_int8.tflite`)."""
    published = {(latency.model, latency.kind): latency for latency in device.published()}
    found: dict[tuple[str, str], Candidate] = {}
    for path in _files(folders):
        key = _key(path)
        if key in published and key not in found and path.is_file() and _same_graph(path, published[key]):
            found[key] = Candidate(path, published[key])
    return list(found.values())


def _files(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: no such folder; give one with .tflite files")
        yield from sorted(folder.glob("*.tflite"))
    yield from (entry.path for entry in zoo.entries() if entry.present)


def _key(path: Path) -> tuple[str, str] | None:
    match = _SUFFIX.search(path.stem)
    if match is None:
        return None
    return path.stem[: match.start()], {"float": "float", "quant": "quant"}.get(match[1]) or KINDS[match[1]]


def _same_graph(path: Path, published: Latency) -> bool:
    if published.size_mb is None:
        return True
    # Sizes are published to a tenth of a megabyte, which is much for the smallest.
    allowed = max(MAX_SIZE_OFF[published.kind] * published.size_mb, 0.1)
    return abs(path.stat().st_size / 1e6 - published.size_mb) <= allowed


def measure(points: Sequence[Candidate], on_step: Callable[[], None] = lambda: None) -> list[Candidate]:
    """Time every model on this host, telling `on_step` of each of its timing.PASSES blocks.

    Raises EmulationError where the machine is busy, UsageError for a file that is not a model.
    """
    if not points:
        return []
    start = Clocks.now(host.current())
    try:
        for point in points:
            trial.ensure(point.path, files.sha256(point.path), runtime.get())
        models = [(functools.partial(Model, point.path), point.published.kind) for point in points]
        timings = timing.measure(models, on_step)
    except ModelError as error:
        raise UsageError(f"{error}; move it out of the folder") from error
    others = Clocks.now(host.current()).since(start).others
    if others is not None and others > MAX_OTHERS * host.system.cores():
        raise EmulationError(
            f"other programs kept {others:.2f} processors busy meanwhile: a calibration now would be wrong; "
            "stop them and try again"
        )
    return [point._replace(timing=t) for point, t in zip(points, timings, strict=True)]


def refit(points: Iterable[Candidate]) -> dict[str, Fit]:
    """A time model for each kind of which at least MIN_MODELS were timed. Raises UsageError where none has so many."""
    by_kind: dict[str, list[Candidate]] = {}
    for point in points:
        by_kind.setdefault(point.published.kind, []).append(point)
    fits = {kind: _fit(group) for kind, group in by_kind.items() if len(group) >= MIN_MODELS}
    if not fits:
        counts = ", ".join(f"{len(group)} {kind}" for kind, group in sorted(by_kind.items())) or "none"
        raise UsageError(
            f"too few of the published models are at hand ({counts}; {MIN_MODELS} of a kind are needed): give --models "
            "a folder of .tflite files named after them (`ondevice devices show NAME`), such as "
            "mobilenet_v1_1.0_224_fp32.tflite"
        )
    return fits


def _fit(group: Sequence[Candidate]) -> Fit:
    # The anchor's ms only sets the unit: relative times are to it, and another host's are too.
    anchor_ms = float(np.median([c.timing.host_ms / c.timing.relative for c in group if c.timing]))
    points = [c.point(anchor_ms) for c in group]
    errors = np.abs(left_out(points))
    families = [c.architecture for c in group]
    apart = float(np.abs(left_out(points, families)).mean()) if len(set(families)) > 2 else np.nan
    reference = f"{host.current().cpu_model()}, {runtime.get()}, 1 thread"
    return Fit(tuple(points), anchor_ms, float(errors.mean()), float(errors.max()), apart, reference)
