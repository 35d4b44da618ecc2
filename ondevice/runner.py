"""Run one model on this device: picture → tensor → inference → answer, every part timed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ondevice import ranking, trial
from ondevice import runtime as runtimes
from ondevice.answer import Answer, Outcome, Prediction
from ondevice.errors import CardError, ImageError, ModelError, UsageError
from ondevice.image import ImageSource, describe
from ondevice.models import classifier, files, zoo
from ondevice.models.card import Input
from ondevice.models.description import ModelDescription, describe_model
from ondevice.models.overrides import Overrides
from ondevice.preprocess import Preprocessor
from ondevice.runtime import Executable, Model

if TYPE_CHECKING:
    from ondevice.devices.emulation import Emulation


class ModelFile(NamedTuple):
    """A model's file: where it is, its entry in the zoo or beside it, and its SHA-256."""

    path: Path
    entry: zoo.Entry | None
    sha256: str


class Resolved(NamedTuple):
    """A classifier's file that can be run, and what is known of it.

    shapes: its input's, as `Executable` takes it, where the file leaves its size open; else empty.
    """

    path: Path
    entry: zoo.Entry | None
    sha256: str
    description: ModelDescription
    shapes: tuple[tuple[int, ...], ...]


class Runner:
    """Classifies pictures with one model.

    >>> runner = Runner("digits_m_int8", threads=2)
    >>> runner.classify("photo.png").label

    model: a name in the zoo, the path of a .tflite file, or what `resolve` found for one; a zoo model is recognised by
    its checksum wherever it lies. An unknown file is tried in a child process first. threads: the runtime's threads, 1
    unless given. runtime: one of `ondevice.runtime.RUNTIMES`, by default the first that is installed. scaled_decode:
    see `ondevice.image.pixels`. device: a name from `ondevice devices list`, to be emulated with its card's threads, or
    `threads` of it. overrides: what is said of the model, before all that is found; what is known then is in
    `description`. Raises ModelError, CardError, UsageError, MissingError, EmulationError. Not safe for several threads
    at once: take one a thread. A forked process has one of its own, as `Executable` says. Pickled or copied it is these
    settings, and the model is loaded anew where it is made of them.
    """

    def __init__(  # noqa: PLR0913
        self,
        model: str | Path | Resolved,
        threads: int | None = None,
        runtime: str | None = None,
        scaled_decode: bool = True,
        device: str | None = None,
        overrides: Overrides | None = None,
    ) -> None:
        found = model if isinstance(model, Resolved) else resolve(str(model), runtime, overrides)
        self.entry, self.sha256, self.description = found.entry, found.sha256, found.description
        self.card = self.entry.card if self.entry else None
        self.emulation: Emulation | None = None
        if device is None:
            self.model = Model(Executable(found.path, 1 if threads is None else threads, runtime, found.shapes))
        else:
            self.model, self.emulation = _emulated(found, self, threads, runtime, device)
        self.precision = self.card.precision if self.card else self.model.precision
        self.name = self.card.name if self.card else found.path.stem
        self.input, self.labels = self.description.input, self.description.labels
        self.background = self.description.background
        _check_fit(self.model, self.description, self.entry)
        self.scaled_decode = scaled_decode
        self._preprocess = Preprocessor(self.input, self.model.input, self.model.channels_first)
        self._runtime = str(self.model.runtime)
        self._device = device
        # What it can be made of again, whatever the working directory is then.
        given = model._replace(path=model.path.absolute()) if isinstance(model, Resolved) else _lasting(model)
        if overrides and overrides.labels and not self.labels.bundled:
            overrides = replace(overrides, labels=_lasting(overrides.labels))
        self._settings = given, threads, runtime, device, overrides

    def __reduce__(self) -> tuple[Any, ...]:
        model, threads, runtime, device, overrides = self._settings
        return type(self), (model, threads, runtime, self.scaled_decode, device, overrides)

    def classify(self, image: ImageSource, top: int = 5) -> Answer:
        """The best `top` classes of one picture. Raises ImageError, ModelError, UsageError."""
        _check_top(top)
        start = perf_counter()
        tensor = self.prepare(image)
        ready = perf_counter()
        stored = self.model.invoke(tensor)
        done = perf_counter()
        best = self.best(stored, top)
        end = perf_counter()
        spans = (ready - start) * 1e3, (done - ready) * 1e3, (end - start) * 1e3
        return Answer(best, self.name, self._runtime, self.model.threads, *spans, self._device)

    def prepare(self, image: ImageSource, cropped: float = 1.0) -> np.ndarray[Any, Any]:
        """The picture as the model's input tensor; cropped as `Preprocessor.prepare` takes it. Raises ImageError."""
        return self._preprocess.prepare(image, self.scaled_decode, cropped)

    def classify_each(self, images: Iterable[ImageSource], top: int = 5) -> Iterator[Outcome]:
        """An outcome for every picture, in order; one that cannot be read costs itself alone."""
        for image in images:
            try:
                yield Outcome(describe(image), self.classify(image, top))
            except ImageError as error:
                yield Outcome(describe(image), error)

    def best(self, stored: np.ndarray[Any, Any], top: int) -> tuple[Prediction, ...]:
        """The best `top`, 1 or more, of a raw output [outputs], equal scores in the order of their index."""
        if self.description.output.of_two:
            stored = self._of_two(stored)
            dequantize: Callable[[np.ndarray[Any, Any]], np.ndarray[Any, Any]] = _as_they_are
        else:
            stored, dequantize = stored[int(self.background) :], self.model.dequantize
        try:
            indexes = ranking.best(stored, top)
        except ValueError as error:
            raise ModelError(f"{self.model.path}: {error}", str(self.model.path)) from error
        scores = dequantize(stored[indexes])
        names = self.labels.names
        return tuple(Prediction(i, names[i], s) for i, s in zip(indexes.tolist(), scores.tolist(), strict=True))

    def _of_two(self, stored: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """The scores [2] of a network with one output."""
        return ranking.two_classes(self.model.dequantize(stored), self.description.output)


def _lasting(name_or_path: str | Path) -> str:
    """A file's path from the root; a name as it is."""
    path = files.expanded(name_or_path)
    return str(path.absolute() if path.is_file() else name_or_path)


def _check_top(top: int) -> None:
    if top < 1:
        raise UsageError(f"top must be 1 or more, not {top}")


def find(model: str) -> ModelFile:
    """The file of a zoo's name or a path, and its card: of a path that beside it, else one in the zoo, by its checksum.

    A named model that has another checksum than its card is refused. Raises ModelError.
    """
    path, named = zoo.locate(model)
    checksum = files.sha256(path)
    if named is not None and named.card.sha256 != checksum:
        said = f"{named.card.name}: {path} is not the file that its card describes: {named.todo}"
        raise ModelError(said, named.card.name)
    return ModelFile(path, named or zoo.beside(path, checksum) or zoo.recognise(checksum), checksum)


def resolve(model: str, runtime: str | None = None, overrides: Overrides | None = None) -> Resolved:
    """The file of a classifier, and what is known of it; one that is not ours is tried in a child process before.

    Raises ModelError, CardError, UsageError.
    """
    path, entry, checksum = find(model)
    description = describe_model(path, entry, overrides)
    own = entry is None or entry.origin in ("added", "beside")
    shapes = free_shapes(path, description.input) if own else ()
    if own:
        trial.ensure(path, checksum, runtimes.get(runtime), shapes)
    return Resolved(path, entry, checksum, description, shapes)


def free_shapes(path: Path, given: Input) -> tuple[tuple[int, ...], ...]:
    """The input's shape, where the file leaves its size open."""
    layout = classifier.read(path).layout
    return (layout.shape((given.height, given.width)),) if layout.free else ()


def _emulated(
    found: Resolved, runner: Runner, threads: int | None, runtime: str | None, device: str
) -> tuple[Model, Emulation]:
    from ondevice.devices import card
    from ondevice.devices.emulate import EmulatedExecutable

    precision = runner.card.precision if runner.card else None
    executable = EmulatedExecutable(found.path, card.find(device), precision, runtime, threads)
    return Model(executable), executable.emulation


def _check_fit(model: Model, known: ModelDescription, entry: zoo.Entry | None) -> None:
    """Raise CardError where the card is not that of this model."""
    wanted = known.input.height, known.input.width, known.input.channels
    where = entry.card_path if entry else model.path
    if (size := (*model.layout.size, model.layout.channels)) != wanted:
        own = " x ".join(map(str, size))
        raise CardError(f"{where}: the model's input is {own}, the card says otherwise", str(model.path))
    if known.outputs != model.outputs:
        name = known.labels.bundled or known.labels.source
        listed = f"'{name}' {len(known.labels)} names{' and a background' * known.background}"
        meant = f", and its output is called a {known.output}, which is one" if known.output.of_two else ""
        raise CardError(f"{where}: the model has {model.outputs} outputs, label list {listed}{meant}", str(model.path))


def _as_they_are(scores: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    return scores
