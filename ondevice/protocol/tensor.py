"""The tensors of the Open Inference Protocol V2: datatypes, and their data in JSON and in binary.

Data in JSON are KServe's "Tensor Data" (docs/predict-api/v2/required_api.md): a flat list, or nested as the shape is;
elements of BYTES are UTF-8 strings. In binary (Triton, docs/protocol/extension_binary_data.md) a tensor is
little-endian and row-major without padding; a BOOL is a byte 0 or 1, and each element of BYTES lies behind its length
as uint32.
"""

from __future__ import annotations

import binascii
import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.errors import ProtocolError

# Every datatype but BYTES, as it lies on the wire.
DATATYPES: dict[str, np.dtype[Any]] = {
    "BOOL": np.dtype(np.bool_),
    "UINT8": np.dtype("<u1"),
    "UINT16": np.dtype("<u2"),
    "UINT32": np.dtype("<u4"),
    "UINT64": np.dtype("<u8"),
    "INT8": np.dtype("<i1"),
    "INT16": np.dtype("<i2"),
    "INT32": np.dtype("<i4"),
    "INT64": np.dtype("<i8"),
    "FP16": np.dtype("<f2"),
    "FP32": np.dtype("<f4"),
    "FP64": np.dtype("<f8"),
}
# A batch of videos has five; numpy 1 stops at 32, and nested JSON is checked once for each dimension.
MAX_RANK = 8
# Sizes and indexes of elements fit into INT32, as TFLite has them.
MAX_ELEMENTS = 2**31 - 1

# The two characters of base64 that URLs and file names cannot have (RFC 4648, section 5), and what is standard.
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")

_NAMES = {dtype: name for name, dtype in DATATYPES.items()}
# What JSON may hold for each kind of dtype, and what to call it.
_JSON_TYPES: dict[str, set[type]] = {"b": {bool}, "u": {int}, "i": {int}, "f": {int, float}}
_JSON_NAMES = {bool: "booleans", int: "integers", float: "fractions", str: "strings", list: "lists", dict: "objects"}


@dataclass(eq=False, slots=True)
class Tensor:
    """A named array: `data` is an array of `shape`, or for BYTES the flat list of its elements.

    An array that was read in binary lies in the body it came in: it cannot be written to and may be unaligned.
    parameters: as they came; in writing, `binary_data_size` is set or left out as the data are sent.
    """

    name: str
    datatype: str
    shape: tuple[int, ...]
    data: NDArray[Any] | list[bytes]
    parameters: dict[str, Any] = field(default_factory=dict)

    @property
    def binary(self) -> bool:
        """Whether the data came in the binary extension."""
        return self.parameters.get("binary_data_size") is not None

    @classmethod
    def of(cls, name: str, array: NDArray[Any] | Sequence[bytes]) -> Tensor:
        """From an array of a dtype that OIP has, or from n byte strings, as BYTES [n]. Raises ProtocolError."""
        if isinstance(array, np.ndarray):
            datatype = datatype_of(array.dtype)
            return cls(name, datatype, array.shape, array.astype(DATATYPES[datatype], copy=False))
        return cls(name, "BYTES", (len(array),), list(array))


def datatype_of(dtype: np.dtype[Any]) -> str:
    """OIP's name of a numpy dtype of either byte order. Raises ProtocolError if it has none."""
    name = _NAMES.get(dtype.newbyteorder("<"))
    if name is None:
        raise ProtocolError(f"the protocol has no datatype for arrays of {dtype}; convert it to one of {_listed()}")
    return name


def parse_datatype(value: Any) -> str:
    """A datatype as JSON has it. Raises ProtocolError for anything else."""
    if not isinstance(value, str) or (value not in DATATYPES and value != "BYTES"):
        problem = "missing" if value is None else f"{reprlib.repr(value)}, which the protocol does not have"
        raise ProtocolError(f"'datatype' is {problem}; give one of {_listed()}")
    return value


def parse_shape(value: Any) -> tuple[int, ...]:
    """A shape as JSON has it, of at most MAX_RANK dimensions and MAX_ELEMENTS elements. Raises ProtocolError."""
    if not isinstance(value, list):
        raise ProtocolError("'shape' is missing" if value is None else f"'shape' is {reprlib.repr(value)}, not a list")
    if len(value) > MAX_RANK:
        raise ProtocolError(f"'shape' has {len(value)} dimensions; at most {MAX_RANK} are read")
    elements = 1
    for size in value:
        if type(size) is not int or size < 0:
            raise ProtocolError(f"'shape' holds {reprlib.repr(size)}, which is not a size")
        elements *= size or 1  # an empty array may not be huge in another dimension either
    if elements > MAX_ELEMENTS:
        raise ProtocolError(f"shape {reprlib.repr(value)} is too large; at most {MAX_ELEMENTS} elements are read")
    return tuple(value)


def from_base64(element: bytes) -> bytes:
    """What an element of BYTES holds in base64: standard or URL-safe, with line breaks or without, padded or not, by
    itself or as a data URI. Raises ProtocolError.
    """
    try:
        return binascii.a2b_base64(element, strict_mode=True)
    except binascii.Error:
        plain = _data(element).translate(_TO_STANDARD, b"\r\n").rstrip(b"=")
    try:
        return binascii.a2b_base64(plain + b"=" * (-len(plain) % 4), strict_mode=True)
    except binascii.Error as error:
        raise ProtocolError(f"a string is not base64: {str(error).lower()}") from None


def _data(element: bytes) -> bytes:
    """The base64 in a data URI (RFC 2397), or what is none as it is."""
    if not element.startswith(b"data:"):
        return element
    head, _, data = element.partition(b",")
    if not head.endswith(b";base64"):
        raise ProtocolError("a data URI is not base64: begin it with data:image/jpeg;base64,")
    return data


def from_binary(datatype: str, shape: tuple[int, ...], raw: memoryview) -> NDArray[Any] | list[bytes]:
    """The data of a tensor sent in binary: a view for arrays, copies for BYTES. Raises ProtocolError."""
    count = math.prod(shape)
    if datatype == "BYTES":
        return _elements(raw, count)
    dtype = DATATYPES[datatype]
    size = count * dtype.itemsize
    if len(raw) != size:
        raise ProtocolError(f"binary_data_size is {len(raw)}, {datatype} {list(shape)} takes {size} bytes")
    if dtype.kind == "b" and np.frombuffer(raw or b"\0", np.uint8).max() > 1:
        raise ProtocolError("a byte of BOOL is neither 0 nor 1")
    return np.ndarray(shape, dtype, raw)


def from_json(datatype: str, shape: tuple[int, ...], data: Any, response: bool = False) -> NDArray[Any] | list[bytes]:
    """The data of a tensor sent in JSON. In a response, floats may be null (NaN), NaN or infinite.

    Raises ProtocolError.
    """
    values = _flat(data, shape)
    if datatype == "BYTES":
        _check_types(values, {str}, datatype)
        return [value.encode() for value in values]
    kind = DATATYPES[datatype].kind
    nulls = {type(None)} if response and kind == "f" else set()
    _check_types(values, _JSON_TYPES[kind] | nulls, datatype)
    return _array(values, datatype, response).reshape(shape)


def to_binary(tensor: Tensor) -> bytes:
    """The tensor's data as they travel in binary. Raises ProtocolError if they are not of its shape and datatype."""
    _check_consistent(tensor)
    data = tensor.data
    if isinstance(data, list):
        return b"".join(chain.from_iterable((len(element).to_bytes(4, "little"), element) for element in data))
    return data.tobytes()


def to_json(tensor: Tensor, response: bool = False) -> list[Any] | NDArray[Any]:
    """The tensor's data as they travel in JSON, flat; in a response, floats that are not finite become null.

    An array stays one in a request, for whoever writes the JSON of it: a picture's takes much time number by number.
    Raises ProtocolError for data that JSON has not, or that are not of the tensor's shape and datatype.
    """
    _check_consistent(tensor)
    data = tensor.data
    if isinstance(data, list):
        try:
            return [element.decode() for element in data]
        except UnicodeDecodeError:
            raise ProtocolError(f"tensor {reprlib.repr(tensor.name)} is not UTF-8 text: send it in binary") from None
    finite = bool(np.isfinite(data).all())
    if response:
        values: list[Any] = data.ravel().tolist()
        return values if finite else [value if math.isfinite(value) else None for value in values]
    if not finite:
        raise ProtocolError(f"JSON has no NaN and no infinities: send tensor {reprlib.repr(tensor.name)} in binary")
    return data.ravel()


def _elements(raw: memoryview, count: int) -> list[bytes]:
    elements: list[bytes] = []
    at, end = 0, len(raw)
    for _ in range(count):
        start = at + 4
        at = start + int.from_bytes(raw[at:start], "little")
        if at > end:
            raise ProtocolError(
                f"element {len(elements)} of {count} ends past the {end} bytes of binary_data_size; each stands behind "
                "its length, 4 bytes, little-endian"
            )
        elements.append(bytes(raw[start:at]))
    if at < end:
        raise ProtocolError(f"binary_data_size is {end}, {count} elements take {at} bytes")
    return elements


def _flat(data: Any, shape: tuple[int, ...]) -> list[Any]:
    if not isinstance(data, list):
        raise ProtocolError("'data' is not a list")
    values = _unnested(data, shape) if shape and data and isinstance(data[0], list) else data
    if len(values) != math.prod(shape):
        raise ProtocolError(f"there are {len(values)} data, shape {list(shape)} takes {math.prod(shape)}")
    return values


def _unnested(data: list[Any], shape: tuple[int, ...]) -> list[Any]:
    rows = [data]
    for length in shape:
        if not all(isinstance(row, list) and len(row) == length for row in rows):
            raise ProtocolError(f"the data are not nested as shape {list(shape)} is")
        rows = list(chain.from_iterable(rows))
    return rows


def _check_types(values: list[Any], allowed: set[type], datatype: str) -> None:
    surplus = set(map(type, values)) - allowed
    if surplus:
        found, taken = (
            " and ".join(sorted(_JSON_NAMES.get(t, "nulls") for t in types)) for types in (surplus, allowed)
        )
        raise ProtocolError(f"there are {found} among the data; {datatype} takes {taken}")


def _array(values: list[Any], datatype: str, response: bool) -> NDArray[Any]:
    """Values of the right types as a flat array; in a response, floats may be infinite."""
    dtype = DATATYPES[datatype]
    try:
        if dtype.kind in "iu":
            _check_range(values, np.iinfo(dtype))
        with np.errstate(over="ignore"):
            array = np.array(values, np.float64 if dtype.kind == "f" else dtype).astype(dtype, copy=False)
        if not response and not np.isfinite(array).all():
            raise OverflowError
    except OverflowError:  # numpy raises it too, for integers past FP64's range
        raise ProtocolError(f"a number among the data is out of the range of {datatype}") from None
    return array


def _check_range(values: list[int], limits: np.iinfo[Any]) -> None:
    # numpy 1 wraps what is out of range round, with a warning.
    if values and (min(values) < limits.min or max(values) > limits.max):
        raise OverflowError


def _check_consistent(tensor: Tensor) -> None:
    data = tensor.data
    count, found = (len(data), "BYTES") if isinstance(data, list) else (data.size, _NAMES.get(data.dtype))
    if found != tensor.datatype or count != math.prod(tensor.shape):
        raise ProtocolError(
            f"tensor {reprlib.repr(tensor.name)} says {tensor.datatype} {list(tensor.shape)}, but has {count} values "
            f"of {found or getattr(data, 'dtype', '')}; make it with Tensor.of"
        )


def _listed() -> str:
    return ", ".join([*DATATYPES, "BYTES"])
