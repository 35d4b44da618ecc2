"""Look inside a file: the tensors of every layer, as real numbers, and where two files of one network drift apart."""

from __future__ import annotations

from collections.abc import Iterator
from difflib import SequenceMatcher
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ondevice.converters.check import interpreter_with_tensors
from ondevice.converters.pictures import Images
from ondevice.models.card import Input
from ondevice.preprocess import Preprocessor
from ondevice.runtime import TensorSpec

# Operators that only change how values are stored.
_STORAGE = ("QUANTIZE", "DEQUANTIZE", "DELEGATE")
# A layer's error is a step where it is over this, and this many times the largest before it.
_NOTABLE, _STEP = 0.1, 2.0
# Rounding, and no more, is expected to add this much.
_FLOOR = 0.02


class Layer(NamedTuple):
    """An operator: its number in the file, its kind, its output's name, number and shape."""

    number: int
    kind: str
    name: str
    tensor: int
    shape: tuple[int, ...]


class Inside:
    """A file whose tensors can be looked at after `run`."""

    def __init__(self, content: bytes, wanted: Input) -> None:
        self._interpreter = interpreter_with_tensors(content)
        self._details = {int(d["index"]): d for d in self._interpreter.get_tensor_details()}
        self._spec = TensorSpec.of(self._interpreter.get_input_details()[0])
        self._prepare = Preprocessor(wanted, self._spec).tensor
        self.layers = list(self._layers())

    def _layers(self) -> Iterator[Layer]:
        for number, op in enumerate(self._interpreter._get_ops_details()):
            tensor = int(op["outputs"][0])
            if op["op_name"] not in _STORAGE and tensor in self._details:
                detail = self._details[tensor]
                yield Layer(number, op["op_name"], detail["name"], tensor, tuple(map(int, detail["shape"])))

    def run(self, image: NDArray[np.uint8]) -> None:
        """Infer one picture."""
        self._interpreter.set_tensor(self._spec.tensor, self._prepare(image))
        self._interpreter.invoke()

    def value(self, layer: Layer) -> NDArray[np.float64]:
        """The layer's output as real numbers, flat."""
        return self._real(layer.tensor)

    def logits(self) -> NDArray[np.float64]:
        """What goes into the softmax at the end; where there is none, the output. Attention has others inside."""
        ops = self._interpreter._get_ops_details()
        last = next(layer for layer in reversed(self.layers) if layer.kind != "RESHAPE")
        if last.kind == "SOFTMAX":
            return self._real(int(ops[last.number]["inputs"][0]))
        return self._real(int(self._interpreter.get_output_details()[0]["index"]))

    def _real(self, tensor: int) -> NDArray[np.float64]:
        stored: NDArray[Any] = self._interpreter.get_tensor(tensor)
        scale, zero_point = self._details[tensor]["quantization"]
        real = (stored.astype(np.float64) - zero_point) * scale if scale else stored.astype(np.float64)
        return np.asarray(real).reshape(-1)


def logits(content: bytes, wanted: Input, images: Images) -> NDArray[np.float32]:
    """The logits [n, classes] of a file."""
    inside = Inside(content, wanted)
    rows = []
    for image in images:
        inside.run(image)
        rows.append(inside.logits())
    return np.stack(rows).astype(np.float32)


def first_growth(reference: bytes, content: bytes, wanted: Input, images: Images) -> str:
    """Where the error of `content` against `reference` (fp32) grows first, in words; empty where it does not.

    The error of a layer is the root mean square difference of its output, over the output's deviation.
    """
    good, bad = Inside(reference, wanted), Inside(content, wanted)
    pairs = _matched(good.layers, bad.layers)
    squares = np.zeros((len(pairs), 2))
    for image in images:
        good.run(image)
        bad.run(image)
        for i, (a, b) in enumerate(pairs):
            x, y = good.value(a), bad.value(b)
            squares[i] += ((x - y) ** 2).mean(), x.var()
    errors = np.sqrt(squares[:, 0] / np.maximum(squares[:, 1], 1e-12))
    return _in_words(pairs, errors)


def _in_words(pairs: list[tuple[Layer, Layer]], errors: NDArray[np.float64]) -> str:
    before = _FLOOR
    for (_, layer), error in zip(pairs, errors.tolist(), strict=True):
        if error > _NOTABLE and error > _STEP * before:
            name = layer.name.split(";")[0][-80:]  # fused operators are named after all their parts
            return (
                f"the error grows first at operator {layer.number}, {layer.kind} '{name}': "
                f"{error:.2g} of its output's spread, {before:.2g} before it"
            )
        before = max(before, error)
    return ""


def _matched(good: list[Layer], bad: list[Layer]) -> list[tuple[Layer, Layer]]:
    """The layers that both files have, in order: of the same kind and shape."""
    a, b = ([(layer.kind, layer.shape) for layer in layers] for layers in (good, bad))
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_matching_blocks()
    return [(good[block.a + i], bad[block.b + i]) for block in blocks for i in range(block.size)]
