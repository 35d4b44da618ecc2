"""What a .tflite file computes: its tensors and operators, read from the file alone and without running it.

The file is a FlatBuffer (tensorflow/lite/schema/schema.fbs). It may be a stranger's: what is read is bounded, and all
of it is checked, so that whatever it says, there is either a Graph in which every number leads somewhere, or an error.
"""

from __future__ import annotations

import contextlib
import math
import mmap
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypeVar

from ondevice import words
from ondevice.errors import ModelError
from ondevice.models import archive, kinds
from ondevice.models.flatbuffer import FlatBuffer, FlatTable, PastEndError
from ondevice.models.schema import ACTIVATIONS, DTYPES, OPERATORS, OPTIONS

_MODEL_CODES, _MODEL_SUBGRAPHS, _MODEL_BUFFERS, _MODEL_METADATA = 1, 2, 4, 6  # fields of schema.fbs's Model
_CODE_BYTE, _CODE_CUSTOM, _CODE_NUMBER = 0, 1, 3  # fields of its OperatorCode
_TENSORS, _INPUTS, _OUTPUTS, _OPERATORS, _NAME = 0, 1, 2, 3, 4  # fields of its SubGraph
_SHAPE, _DTYPE, _BUFFER, _TENSOR_NAME, _QUANTIZATION, _SIGNATURE, _EXTERNAL = 0, 1, 2, 3, 4, 7, 10  # of its Tensor
_SCALES, _ZERO_POINTS = 2, 3  # fields of its QuantizationParameters
_DATA, _DATA_OFFSET, _DATA_SIZE = 0, 1, 2  # fields of its Buffer
_CODE, _READS, _WRITES, _OPTIONS_KIND, _OPTIONS = 0, 1, 2, 3, 4  # fields of its Operator
_ENTRY_NAME, _ENTRY_BUFFER = 0, 1  # fields of its Metadata

# Names of tensors that stand for several fused layers have all their names; the beginning tells them apart.
_LONGEST_NAME_BYTES = 1000
# A tensor has height, width, channels and batch; the runtimes' kernels take up to eight dimensions.
_MOST_DIMENSIONS = 16
# More elements than any machine's memory holds.
_MOST_ELEMENTS = 2**40

_Item = TypeVar("_Item")


class OperatorOptions(NamedTuple):
    """How a convolution or a pooling computes, in elements; the activation is one that other operators have, too."""

    stride_h: int = 0
    stride_w: int = 0
    dilation_h: int = 1
    dilation_w: int = 1
    filter_h: int = 0
    filter_w: int = 0
    activation: str = "none"


class GraphTensor(NamedTuple):
    """A tensor of a subgraph.

    shape: as the file has it. signature: with -1 for sizes that are free; the shape's where the file has no other.
    scale, zero_point: the first of `scales` of them: none, one, or one for each channel. constant: its content is in
    the file, buffer_bytes of it, or in a file beside it, then with none here.
    """

    name: str
    shape: tuple[int, ...]
    signature: tuple[int, ...]
    dtype: str
    scale: float
    zero_point: int
    scales: int
    buffer_bytes: int
    constant: bool

    @property
    def elements(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)


class Operator(NamedTuple):
    """An operator: the schema's name of it, or its own where it is custom; an input of -1 is left out."""

    name: str
    custom: bool
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    options: OperatorOptions


@dataclass(frozen=True)
class Subgraph:
    """Tensors, and operators in the order in which they run; all else are numbers of tensors."""

    name: str
    tensors: tuple[GraphTensor, ...]
    operators: tuple[Operator, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True)
class Graph:
    """A .tflite file; the first of its one or more subgraphs is the one that runs.

    metadata: what metadata the file has, and how many bytes of each. associated_files: names in the archive at its end.
    """

    subgraphs: tuple[Subgraph, ...]
    metadata: dict[str, int]
    associated_files: tuple[str, ...]


def read(path: Path) -> Graph:
    """The graph of a .tflite file, without its weights: they are not loaded. Raises ModelError."""
    with _model(path) as (model, size):
        buffers = [_buffer_bytes(table, size) for table in model.tables(_MODEL_BUFFERS)]
        codes = [_code(table) for table in model.tables(_MODEL_CODES)]
        subgraphs = tuple(_subgraph(table, buffers, codes) for table in model.tables(_MODEL_SUBGRAPHS))
        if not subgraphs:
            raise struct.error("it has no graph")
        metadata = {name: _at(buffers, number) for name, number in reversed(_entries(model))}
    return Graph(subgraphs, metadata, archive.names(path))


def entry(path: Path, name: str) -> bytes:
    """The content of one entry of the file's metadata, empty where there is none. Raises ModelError."""
    with _model(path) as (model, _):
        for known, number in _entries(model):
            if known == name:
                return _at(model.tables(_MODEL_BUFFERS), number).content(_DATA)
    return b""


def floats(path: Path, number: int) -> tuple[float, ...]:
    """The values of a float32 or float16 constant of the first subgraph, none where they lie elsewhere.

    Raises ModelError.
    """
    with _model(path) as (model, _):
        tensor = _at(_at(model.tables(_MODEL_SUBGRAPHS), 0).tables(_TENSORS), number)
        content = _at(model.tables(_MODEL_BUFFERS), tensor.number(_BUFFER, "I")).content(_DATA)
        code, size = ("e", 2) if _named(DTYPES, tensor.number(_DTYPE, "b"), "type") == "float16" else ("f", 4)
    return struct.unpack(f"<{len(content) // size}{code}", content[: len(content) // size * size])


@contextlib.contextmanager
def _model(path: Path) -> Iterator[tuple[FlatTable, int]]:
    """The table that the file begins with, and the file's size in bytes; what is wrong in it becomes a ModelError."""
    try:
        kinds.require_tflite(path)
        with _mapped(path) as buffer:
            yield buffer.root(), buffer.size
    except PastEndError as error:
        raise ModelError(f"{path}: a truncated or damaged .tflite file: {error}; get it again", str(path)) from error
    except struct.error as error:
        raise ModelError(f"{path}: a damaged .tflite file: {error}; get or convert it again", str(path)) from error
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {words.reason(error)}", str(path)) from error


@contextlib.contextmanager
def _mapped(path: Path) -> Iterator[FlatBuffer]:
    """The file, of which only the pages that are looked at come into memory, where the file system can do that."""
    with path.open("rb") as file:
        try:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except (OSError, ValueError):  # ValueError: an empty file
            yield FlatBuffer(file.read())
        else:
            with mapped:
                yield FlatBuffer(mapped)


def _at(items: Sequence[_Item], number: int) -> _Item:
    if not 0 <= number < len(items):
        raise struct.error(f"there is no {number} among {len(items)}")
    return items[number]


def _text(content: bytes) -> str:
    return content.decode("utf-8", "replace")


def _entries(model: FlatTable) -> list[tuple[str, int]]:
    """Name and buffer of every entry of the metadata."""
    tables = model.tables(_MODEL_METADATA)
    return [(_text(t.content(_ENTRY_NAME, _LONGEST_NAME_BYTES)), t.number(_ENTRY_BUFFER, "I")) for t in tables]


def _buffer_bytes(table: FlatTable, file_bytes: int) -> int:
    """A buffer's size; in files over 2 GB its content lies after the FlatBuffer."""
    offset, size = table.number(_DATA_OFFSET, "Q"), table.number(_DATA_SIZE, "Q")
    if offset + size > file_bytes:
        raise PastEndError(f"it ends after {file_bytes} bytes, and has weights behind them")
    return table.length(_DATA) or size


def _code(table: FlatTable) -> tuple[str, bool]:
    """An operator's name, and whether it is custom. Files from before there were 127 have its number in a byte."""
    number = max(table.number(_CODE_BYTE, "b"), table.number(_CODE_NUMBER, "i"))
    name = _named(OPERATORS, number, "BUILTIN")
    if name != "CUSTOM":
        return name, False
    return _text(table.content(_CODE_CUSTOM, _LONGEST_NAME_BYTES)), True


def _named(names: tuple[str, ...], number: int, otherwise: str) -> str:
    """The schema's name; schemas newer than this one have more."""
    return names[number] if 0 <= number < len(names) else f"{otherwise}_{number}"


def _subgraph(table: FlatTable, buffers: list[int], codes: list[tuple[str, bool]]) -> Subgraph:
    tensors = tuple(_tensor(t, buffers) for t in table.tables(_TENSORS))
    operators = tuple(_operator(t, codes, len(tensors)) for t in table.tables(_OPERATORS))
    inputs = _checked(table.integers(_INPUTS), 0, len(tensors))
    outputs = _checked(table.integers(_OUTPUTS), 0, len(tensors))
    return Subgraph(_text(table.content(_NAME, _LONGEST_NAME_BYTES)), tensors, operators, inputs, outputs)


def _checked(numbers: tuple[int, ...], least: int, count: int) -> tuple[int, ...]:
    for number in numbers:
        if not least <= number < count:
            raise struct.error(f"tensor {number} is not among its {count}")
    return numbers


def _tensor(table: FlatTable, buffers: list[int]) -> GraphTensor:
    shape, signature = table.integers(_SHAPE), table.integers(_SIGNATURE)
    if len(shape) > _MOST_DIMENSIONS or min(shape, default=0) < 0 or math.prod(shape) > _MOST_ELEMENTS:
        raise struct.error("a tensor's shape is not one that any machine holds")
    if signature and (len(signature) != len(shape) or min(signature) < -1):
        raise struct.error("a tensor's shape and its signature do not fit")
    scale, zero_point, scales = _quantization(table.table(_QUANTIZATION))
    size = _at(buffers, table.number(_BUFFER, "I"))
    return GraphTensor(
        _text(table.content(_TENSOR_NAME, _LONGEST_NAME_BYTES)), shape, signature or shape,
        _named(DTYPES, table.number(_DTYPE, "b"), "type"), scale, zero_point, scales,
        size, size > 0 or table.number(_EXTERNAL, "I") > 0,
    )  # fmt: skip


def _quantization(table: FlatTable | None) -> tuple[float, int, int]:
    """The first scale, the first zero point, and how many scales there are."""
    if table is None:
        return 0.0, 0, 0
    scales, zero_points = table.floats(_SCALES, 1), table.integers(_ZERO_POINTS, "q", 1)
    return next(iter(scales), 0.0), next(iter(zero_points), 0), table.length(_SCALES, "f")


def _operator(table: FlatTable, codes: list[tuple[str, bool]], tensors: int) -> Operator:
    name, custom = _at(codes, table.number(_CODE, "I"))
    inputs = _checked(table.integers(_READS), -1, tensors)
    outputs = _checked(table.integers(_WRITES), 0, tensors)
    return Operator(name, custom, inputs, outputs, OperatorOptions() if custom else _options(name, table))


def _options(name: str, operator: FlatTable) -> OperatorOptions:
    wanted = OPTIONS.get(name)
    if wanted is None:
        return OperatorOptions()
    table = operator.table(_OPTIONS) if operator.number(_OPTIONS_KIND, "B") == wanted.table else None
    if table is None:
        if wanted.fields:
            raise struct.error(f"{name} has no options")
        return OperatorOptions()
    # The schema's own value where the file has none is 1 for dilations; strides and filters must be there.
    known = {key: table.number(field, "i", int(key.startswith("dilation"))) for key, field in wanted.fields}
    if min(known.values(), default=1) < 1:
        raise struct.error(f"{name} has a stride, dilation or filter below 1")
    activation = _named(ACTIVATIONS, table.number(wanted.activation, "b"), "activation")
    return OperatorOptions(**known, activation=activation)
