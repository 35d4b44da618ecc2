"""What sizes the inputs of any file are given, where the file leaves some of them open."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from ondevice import words
from ondevice.errors import UsageError
from ondevice.models import graph
from ondevice.models.ends import End
from ondevice.models.layout import FREE, Layout

Shape = tuple[int, ...]
# A batch to show how one is given.
_BATCH = 8


class ChosenShapes(NamedTuple):
    """An input's each, in the file's order, or none where the file has them all; notes: what was taken for granted."""

    shapes: tuple[Shape, ...]
    notes: tuple[str, ...]


def choose(path: Path, given: Sequence[Shape], size: tuple[int, int] | None = None) -> ChosenShapes:
    """The shapes of a file's inputs. given: those of the inputs with free sizes, in their order, or none.

    Where none are given, a picture's height and width are `size`, and a batch is 1. Any other free size is asked for: a
    time at some size that nobody has chosen is not the time of anything. Raises UsageError, ModelError.
    """
    first = graph.read(path).subgraphs[0]
    ends = [_end(first.tensors[number]) for number in first.inputs]
    free = [end for end in ends if FREE in end.signature]
    if given:
        return ChosenShapes(tuple(_in_place(path, ends, free, given)), ())
    if not free:
        return ChosenShapes((), ())
    made = {end: _usual(path, end, free, size) for end in free}
    batches = [end for end in free if end.signature[0] == FREE]
    note = f"{path.name} leaves the batch open ({_listed(batches)}): it is 1; {_flag(free, _BATCH)} makes it {_BATCH}"
    return ChosenShapes(tuple(made.get(end, end.shape) for end in ends), (note,) if batches else ())


def _end(tensor: graph.GraphTensor) -> End:
    return End(tensor.name, tensor.dtype, tensor.shape, tensor.signature)


def _in_place(path: Path, ends: Sequence[End], free: Sequence[End], given: Sequence[Shape]) -> Iterable[Shape]:
    if not free:
        raise UsageError(f"{path}: its inputs have sizes of their own ({_listed(ends)}): leave --shape out")
    if len(given) != len(free):
        raise UsageError(
            f"{path}: {len(free)} of its inputs have free sizes ({_listed(free)}), not {len(given)}: give {_flag(free)}"
        )
    rest = iter(given)
    for end in ends:
        if end not in free:
            yield end.shape
            continue
        shape = next(rest)
        fits = len(shape) == len(end.signature) and all(
            own in (FREE, wanted) for own, wanted in zip(end.signature, shape, strict=True)
        )
        if not fits:
            raise UsageError(f"{path}: --shape {_comma(shape)} does not fit its input {end}: give {_flag([end])}")
        yield shape


def _usual(path: Path, end: End, free: Sequence[End], size: tuple[int, int] | None) -> Shape:
    """A batch of 1, and a picture of the size that is given."""
    layout = Layout.of(end.signature)
    if layout is not None and size is not None:
        if not layout.fits(size):
            raise UsageError(f"{path}: --size {size[0]}x{size[1]} does not fit its input {end}")
        return layout.shape(size)
    # A lone size is not a batch: it is how long a sound or a text is.
    if FREE in end.signature[1:] or len(end.signature) == 1:
        raise UsageError(f"{path}: its input has no size of its own ({end}): give {_flag(free)}")
    return (1, *end.signature[1:])


def _flag(free: Iterable[End], batch: int = 1) -> str:
    """What to type for inputs with free sizes."""
    return words.typed(*(part for end in free for part in ("--shape", _example(end, batch))))


def _example(end: End, batch: int) -> str:
    sizes = ["N" if size == FREE else str(size) for size in end.signature]
    if sizes[0] == "N" and len(sizes) > 1:
        sizes[0] = str(batch)
    return ",".join(sizes)


def _comma(shape: Shape) -> str:
    return ",".join(map(str, shape))


def _listed(ends: Iterable[End]) -> str:
    return ", ".join(map(str, ends)) or "none"
