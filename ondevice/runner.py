"""Run one model on this device: picture → tensor → inference → answer, every part timed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ondevice import ranking, trial
from ondevice import runtime as runtimes
from ondevice.answer import Answer, Outcome, Prediction
from ondevice.errors import CardError, ImageError, ModelError, UsageError
from ondevice.image import ImageSource, describe
from ondevice.models import files, labels, zoo
from ondevice.models.card import Input
from ondevice.preprocess import Preprocessor
from ondevice.runtime import Model

if TYPE_CHECKING:
    from ondevice.devices.emulation import Emulation
    from ondevice.models.metadata import Embedded


class Resolved(NamedTuple):
    """A model file found and checked: where it is, its entry in the zoo or beside it, and its SHA-256."""

    path: Path
    entry: zoo.Entry | None
    sha256: str


class Runner:
    """Classifies pictures with one model.

    >>> runner = Runner("digits_m_int8", threads=2)
    >>> runner.classify("photo.png").label

    model: a name in the zoo, the path of a .tflite file, or what `resolve` found for one; a zoo model is recognised by
    its checksum wherever it lies.
    An unknown file is tried in a child process first. threads: the runtime's threads, 1 unless given. runtime: one of
    `ondevice.runtime.RUNTIMES`, by default the first that is installed. scaled_decode: see `ondevice.image.pixels`.
    device: a name from `ondevice devices list`, to be emulated with its card's threads, or `threads` of it. Raises
    ModelError, CardError, UsageError, MissingError, EmulationError. Not safe for several threads at once: take one a
    thread.
    """

    def __init__(
        self,
        model: str | Path | Resolved,
        threads: int | None = None,
        runtime: str | None = None,
        scaled_decode: bool = True,
        device: str | None = None,
    ) -> None:
        path, self.entry, self.sha256 = model if isinstance(model, Resolved) else resolve(str(model), runtime)
        self.card = self.entry.card if self.entry else None
        self.emulation: Emulation | None = None
        if device is None:
            self.model = Model(path, 1 if threads is None else threads, runtime)
        else:
            self.model, self.emulation = _emulated(path, self, threads, runtime, device)
        self.precision = self.card.precision if self.card else self.model.precision
        self.name = self.card.name if self.card else path.stem
        self.input, self.labels, self.background, self.assumed_range = _described(self.model, self.entry, path)
        self.scaled_decode = scaled_decode
        self._preprocess = Preprocessor(self.input, self.model.input, self.model.channels_first)
        self._runtime = str(self.model.runtime)
        self._device = device

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

    def prepare(self, image: ImageSource) -> np.ndarray[Any, Any]:
        """The picture as the model's input tensor. Raises ImageError."""
        return self._preprocess.prepare(image, self.scaled_decode)

    def classify_each(self, images: Iterable[ImageSource], top: int = 5) -> Iterator[Outcome]:
        """An outcome for every picture, in order; one that cannot be read costs itself alone."""
        for image in images:
            try:
                yield Outcome(describe(image), self.classify(image, top))
            except ImageError as error:
                yield Outcome(describe(image), error)

    def best(self, stored: np.ndarray[Any, Any], top: int) -> tuple[Prediction, ...]:
        """The best `top`, 1 or more, of a raw output [classes], equal scores in the order of their index."""
        if self.background:
            stored = stored[1:]
        try:
            indexes = ranking.best(stored, top)
        except ValueError as error:
            raise ModelError(f"{self.model.path}: {error}", str(self.model.path)) from error
        scores = self.model.dequantize(stored[indexes])
        names = self.labels.names
        return tuple(Prediction(i, names[i], s) for i, s in zip(indexes.tolist(), scores.tolist(), strict=True))


def _check_top(top: int) -> None:
    if top < 1:
        raise UsageError(f"top must be 1 or more, not {top}")


def resolve(model: str, runtime: str | None = None) -> Resolved:
    """The file, the entry in the zoo or beside the file that has its checksum, and that checksum (SHA-256).

    A file that is not ours is tried in a child process before. A named model that has another checksum than its card
    is refused. Raises ModelError.
    """
    path, named = zoo.locate(model)
    checksum = files.sha256(path)
    if named is not None and named.card.sha256 != checksum:
        again = (
            f"get it again with `ondevice models pull {named.card.name} --force`"
            if named.card.downloadable
            else "add it again"
        )
        raise ModelError(f"{named.card.name}: {path} is not the file that its card describes; {again}", named.card.name)
    entry = named or zoo.recognise(checksum) or zoo.beside(path, checksum)
    if entry is None or entry.origin in ("added", "beside"):
        trial.ensure(path, checksum, runtimes.get(runtime))
    return Resolved(path, entry, checksum)


def _emulated(
    path: Path, runner: Runner, threads: int | None, runtime: str | None, device: str
) -> tuple[Model, Emulation]:
    from ondevice.devices import card
    from ondevice.devices.emulate import EmulatedExecutable

    precision = runner.card.precision if runner.card else None
    executable = EmulatedExecutable(path, card.find(device), precision, runtime, threads)
    return Model(executable), executable.emulation


def _described(model: Model, entry: zoo.Entry | None, path: Path) -> tuple[Input, labels.Labels, bool, bool]:
    """The input, the classes, and whether output 0 is background: from the card, else from the file.

    Last, whether the input's value range had to be assumed.
    """
    if entry is None:
        from ondevice.models import metadata

        embedded = metadata.read(path, model.classes)
        names = embedded.label_lines or tuple(f"class {i}" for i in range(model.classes))
        background = names[0].lower() == "background"
        assumed = not (embedded.mean or model.input.scale)
        return guess_input(model, embedded), labels.Labels(str(path), names[background:]), background, assumed
    card = entry.card
    height, width, channels = _size(model)
    if (card.input.height, card.input.width, card.input.channels) != (height, width, channels):
        raise CardError(
            f"{entry.card_path}: the model's input is {height} x {width} x {channels}, the card says otherwise",
            str(path),
        )
    listed = labels.load(card.labels, entry.card_path.parent)
    if len(listed) + card.background != model.classes:
        raise CardError(
            f"{entry.card_path}: the model has {model.classes} outputs, label list '{card.labels}' {len(listed)} names"
            + " and a background" * card.background,
            str(path),
        )
    return card.input, listed, card.background, False


def guess_input(model: Model, embedded: Embedded) -> Input:
    """How to feed a file that has no card: as its metadata says, else pixels as stored values, else [-1, 1]."""
    height, width, channels = _size(model)
    spec = model.input
    if embedded.mean and embedded.std:
        try:
            return Input(height, width, channels, embedded.mean, embedded.std)
        except ValueError as error:
            raise ModelError(f"{model.path}: its metadata is malformed: {error}", str(model.path)) from error
    if spec.scale:
        darkest = 128 if spec.dtype == np.int8 else 0
        return Input(height, width, channels, (spec.zero_point + darkest,), (1 / spec.scale,))
    return Input(height, width, channels)


def _size(model: Model) -> tuple[int, int, int]:
    _, a, b, c = model.input.shape
    return (b, c, a) if model.channels_first else (a, b, c)
