"""What is measured: an image classifier, or any other .tflite file, which gets random input of its own shapes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ondevice import runner, trial
from ondevice import runtime as runtimes
from ondevice.bench import shapes
from ondevice.bench.spec import Spec
from ondevice.devices.emulation import Emulation
from ondevice.errors import NotClassifierError
from ondevice.models.overrides import Overrides
from ondevice.models.zoo import Entry
from ondevice.runner import Resolved, Runner
from ondevice.runtime import Executable


class AnyFile(NamedTuple):
    """A file that can be run, whatever it computes.

    shapes: as `Executable` takes them. notes: what was taken for granted, a line each.
    """

    path: Path
    entry: Entry | None
    sha256: str
    shapes: tuple[tuple[int, ...], ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Subject:
    """What is measured, loaded.

    runner: of an image classifier; None for any other file. sized: whether that classifier's file leaves its size open.
    """

    name: str
    precision: str
    sha256: str
    executable: Executable
    emulation: Emulation | None
    runner: Runner | None = None
    sized: bool = False


def resolve(spec: Spec) -> Resolved | AnyFile:
    """The file that is to be measured; one that is not ours was tried in a child process.

    What is given shapes, or is not an image classifier, is any file. Raises ModelError, CardError, UsageError.
    """
    if spec.shapes:
        return _any(spec)
    given = spec.overrides or Overrides()
    try:
        return runner.resolve(spec.model, runtimes.get(spec.runtime).name, given)
    except NotClassifierError:
        if spec.images or given != Overrides(size=given.size):
            raise
        return _any(spec, given.size)


def _any(spec: Spec, size: tuple[int, int] | None = None) -> AnyFile:
    path, entry, checksum = runner.find(spec.model)
    chosen = shapes.choose(path, spec.shapes, size)
    trial.ensure(path, checksum, runtimes.get(spec.runtime), chosen.shapes)
    return AnyFile(path, entry, checksum, chosen.shapes, chosen.notes)


def load(spec: Spec) -> Subject:
    """Load it. Raises as `resolve` and `Runner` do."""
    found = resolve(spec)
    if isinstance(found, Resolved):
        made = Runner(found, spec.threads, spec.runtime, spec.scaled_decode, spec.device)
        sized = bool(found.shapes)
        return Subject(made.name, made.precision, made.sha256, made.model.executable, made.emulation, made, sized)
    card = found.entry.card if found.entry else None
    executable, emulation = _loaded(found, spec)
    name, precision = (card.name, card.precision) if card else (found.path.stem, executable.precision)
    return Subject(name, precision, found.sha256, executable, emulation)


def _loaded(found: AnyFile, spec: Spec) -> tuple[Executable, Emulation | None]:
    if spec.device is None:
        return Executable(found.path, spec.threads or 1, spec.runtime, found.shapes), None
    from ondevice.devices import card
    from ondevice.devices.emulate import EmulatedExecutable

    precision = found.entry.card.precision if found.entry else None
    made = EmulatedExecutable(found.path, card.find(spec.device), precision, spec.runtime, spec.threads)
    return made, made.emulation
