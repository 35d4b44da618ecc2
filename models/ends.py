"""The ends of a .tflite file, its inputs and outputs: in words, and whether they are those of an image classifier."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from ondevice import words
from ondevice.errors import NotClassifierError
from ondevice.models.layout import Layout

# What a classifier's picture and its scores can be stored as.
_TYPES = ("float32", "uint8", "int8")
# What converters call a tensor that nobody has named.
_GENERATED_NAMES = ("StatefulPartitionedCall", "PartitionedCall", "Identity")
# In a message: a detector has four outputs, a line has room for some more; a name of several layers' names is cut.
_SHOWN_ENDS, _SHOWN_NAME = 6, 40


class End(NamedTuple):
    """An input or output: its name, its dtype (`string` among them), its shape, and that with -1 for free sizes."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]

    def __str__(self) -> str:
        """Its name, as far as a person gave it one, its shape with ? for free sizes, and its dtype."""
        name = self.name.removeprefix("serving_default_").partition(";")[0].removesuffix(":0")
        name = "" if name.startswith(_GENERATED_NAMES) else f"{name[:_SHOWN_NAME]} "
        shape = ", ".join("?" if n < 0 else str(n) for n in self.signature or self.shape)
        return f"{name}[{shape}] {self.dtype}"


def classifier_layout(path: Path, inputs: Sequence[End], outputs: Sequence[End]) -> Layout:
    """How the picture lies in the one input of an image classifier. Raises NotClassifierError where it is not one."""
    layout = Layout.of(inputs[0].signature or inputs[0].shape) if len(inputs) == 1 else None
    reason = ""
    if len(inputs) != 1 or len(outputs) != 1:
        reason = f"it has {_counted('input', inputs)} and {_counted('output', outputs)}, not one of each"
    elif layout is None:
        reason = "its input is not [1, height, width, 3 or 1]"
    elif odd := {inputs[0].dtype, outputs[0].dtype} - {*_TYPES}:
        reason = f"its tensors are {min(odd)}, not {', '.join(_TYPES[:-1])} or {_TYPES[-1]}"
    elif not math.prod(outputs[0].shape) or max(outputs[0].shape, default=1) != math.prod(outputs[0].shape):
        reason = "its output is not [1, classes]"
    if reason or layout is None:
        raise refusal(path, reason, inputs, outputs)
    return layout


def refusal(path: Path, reason: str, inputs: Sequence[End], outputs: Sequence[End]) -> NotClassifierError:
    """The error of a file that is not an image classifier: why not, what it is instead, and what there is for it."""
    ends = f"{_listed('input', inputs)}, {_listed('output', outputs)}"
    todo = f"{words.typed('ondevice', 'bench', path)} times it"
    return NotClassifierError(f"{path}: not an image classifier ({reason}): {ends}; {todo}", str(path))


def _counted(end: str, ends: Sequence[End]) -> str:
    return f"{len(ends)} {end}{'s' * (len(ends) != 1)}"


def _listed(end: str, ends: Sequence[End]) -> str:
    more = f" and {len(ends) - _SHOWN_ENDS} more" if len(ends) > _SHOWN_ENDS else ""
    return f"{end}{'s' * (len(ends) != 1)} {', '.join(map(str, ends[:_SHOWN_ENDS])) or 'none'}{more}"
