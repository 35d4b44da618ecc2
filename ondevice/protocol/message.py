"""The framing of a message: a JSON object, and behind it, in the JSON's order, the data of tensors sent in binary.

The protocol is KServe's (docs/predict-api/v2/required_api.md there) with Triton's extension for binary tensor data
(docs/protocol/extension_binary_data.md there): the tensors whose parameters have `binary_data_size` lie behind the
JSON, and the HTTP header Inference-Header-Content-Length gives the length of the JSON in bytes.

JSON has neither NaN nor infinities. Triton writes them all the same, as bare words that few can read; here they become
null in a response, which numpy, and so tritonclient, reads as NaN. Words and null are both read in responses and
refused in requests, where the binary extension carries such values.

Whatever is read may be hostile: it raises ProtocolError and nothing else, and nothing is allocated for a shape before
the data for it have been seen.
"""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn, Protocol

from ondevice.errors import ProtocolError
from ondevice.protocol import arrays_json
from ondevice.protocol.headers import LENGTH
from ondevice.protocol.tensor import Tensor, from_binary, from_json, parse_datatype, parse_shape, to_binary, to_json

# Writes JSON, with arrays of numpy in it.
ArrayDumps = Callable[[Any], bytes]

# Inputs or outputs of one message. Image classifiers have one or two, detectors a dozen; each costs memory to read.
MAX_TENSORS = 64


class _Named(Protocol):
    """What has a name of its own in a message."""

    name: str


class MessageReader:
    """A body being read: `json`, its object, and `rest`, the binary data that no tensor has taken yet."""

    def __init__(self, body: bytes | memoryview, header_length: int | None, response: bool) -> None:
        view = memoryview(body)
        length = len(view) if header_length is None else header_length
        if not 0 <= length <= len(view):
            raise ProtocolError(f"{LENGTH} is {length}, the body has {len(view)} bytes")
        self.response = response
        self.json = _object(view[:length], _RESPONSE_JSON if response else _REQUEST_JSON)
        self.rest = view[length:]

    def parameters(self, item: dict[str, Any]) -> dict[str, Any]:
        """An object's own; in a request they must be strings, numbers and booleans, as the protocol has it."""
        parameters = item.get("parameters")
        if parameters is None:
            return {}
        if not isinstance(parameters, dict):
            raise ProtocolError("'parameters' is not an object")
        if not self.response:
            for key, value in parameters.items():
                _check_parameter(key, value)
        return parameters

    def items(self, key: str, optional: bool) -> list[dict[str, Any]]:
        """The objects of a list."""
        items = self.json.get(key)
        if items is None and optional:
            return []
        if not isinstance(items, list):
            raise ProtocolError(f"'{key}' is {'missing' if items is None else 'not a list'}")
        if len(items) > MAX_TENSORS:
            raise ProtocolError(f"there are {len(items)} {key}; at most {MAX_TENSORS} are read")
        for item in items:
            if not isinstance(item, dict):
                raise ProtocolError(f"'{key}' holds {reprlib.repr(item)}, which is not an object")
        return items

    def tensors(self, key: str) -> list[Tensor]:
        """The tensors of a list; together they must take all the binary data."""
        kind = key[:-1]
        tensors = [self._tensor(item, kind) for item in self.items(key, optional=False)]
        check_names(kind, tensors)
        if self.rest:
            raise ProtocolError(f"{len(self.rest)} bytes follow the last tensor's binary data")
        return tensors

    def _tensor(self, item: dict[str, Any], kind: str) -> Tensor:
        name = name_of(item, kind)
        try:
            return self._named(name, item)
        except ProtocolError as error:
            raise ProtocolError(f"{kind} {reprlib.repr(name)}: {error}") from None

    def _named(self, name: str, item: dict[str, Any]) -> Tensor:
        datatype, shape = parse_datatype(item.get("datatype")), parse_shape(item.get("shape"))
        parameters, data = self.parameters(item), item.get("data")
        check_no_shared_memory(parameters)
        size = parameters.get("binary_data_size")
        if (size is None) == (data is None):
            raise ProtocolError(f"{'none' if data is None else 'both'} of 'data' and 'binary_data_size' given")
        if data is None:
            return Tensor(name, datatype, shape, from_binary(datatype, shape, self._take(size)), parameters)
        return Tensor(name, datatype, shape, from_json(datatype, shape, data, self.response), parameters)

    def _take(self, size: Any) -> memoryview:
        if type(size) is not int or size < 0:
            raise ProtocolError(f"binary_data_size is {reprlib.repr(size)}, not a number of bytes")
        if size > len(self.rest):
            raise ProtocolError(
                f"binary_data_size is {reprlib.repr(size)}, {len(self.rest)} bytes are left; "
                f"is {LENGTH} the length of the JSON?"
            )
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken


def _refuse(constant: str) -> NoReturn:
    raise ProtocolError(f"{constant} is not JSON; the binary extension carries it")


_REQUEST_JSON = json.JSONDecoder(parse_constant=_refuse)
_RESPONSE_JSON = json.JSONDecoder()
_PLAIN_JSON = json.JSONEncoder(ensure_ascii=False)


def json_of(body: bytes | memoryview, decoder: json.JSONDecoder = _RESPONSE_JSON) -> Any:
    """What a body is in JSON: UTF-8, and nothing in it that cannot be written again. Raises ProtocolError."""
    try:
        text = str(body, "utf-8")
        found = decoder.decode(text)
        if "\\ud" in text or "\\uD" in text:  # half a surrogate pair makes a string that no one can encode
            _PLAIN_JSON.encode(found).encode()
    except (ValueError, RecursionError) as error:
        raise ProtocolError(_fault(error)) from None
    return found


def _object(header: memoryview, decoder: json.JSONDecoder) -> dict[str, Any]:
    found = json_of(header, decoder)
    if not isinstance(found, dict):
        raise ProtocolError("the JSON is not an object")
    return found


def _fault(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"the JSON is malformed: {error}"
    if isinstance(error, UnicodeDecodeError):
        return f"the JSON is not UTF-8 at byte {error.start}"
    if isinstance(error, UnicodeEncodeError):
        return "a string in the JSON holds half a surrogate pair"
    return "the JSON is nested too deeply" if isinstance(error, RecursionError) else "a number has too many digits"


def _check_parameter(key: str, value: Any) -> None:
    # Numbers past 64 bits, and 1e999, mean nothing here and trip those who convert them.
    kind = type(value)
    if kind is str or kind is bool or (kind is int and -(2**63) <= value < 2**64):
        return
    if kind is not float or not math.isfinite(value):
        raise ProtocolError(
            f"parameter {reprlib.repr(key)} is {reprlib.repr(value)}, not a string, boolean or number of 64 bits"
        )


def string_of(item: dict[str, Any], key: str) -> str | None:
    """A member that must be a string, or absent. Raises ProtocolError."""
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise ProtocolError(f"'{key}' is {reprlib.repr(value)}, not a string")
    return value


def name_of(item: dict[str, Any], kind: str) -> str:
    """The name of an input or output. Raises ProtocolError where it has none."""
    name = string_of(item, "name")
    if not name:
        raise ProtocolError(f"an {kind} has no 'name'")
    return name


def checked_flag(value: Any, key: str) -> bool:
    """A value that must be true or false. Raises ProtocolError."""
    if not isinstance(value, bool):
        raise ProtocolError(f"{key} is {reprlib.repr(value)}, not true or false")
    return value


def check_no_shared_memory(parameters: dict[str, Any]) -> None:
    """Raise ProtocolError where the data lie in memory that Triton would share with its client."""
    if "shared_memory_region" in parameters:
        raise ProtocolError("shared memory is not supported; use JSON or the binary extension")


def check_names(kind: str, named: Iterable[_Named]) -> None:
    """Raise ProtocolError where two have one name."""
    seen: set[str] = set()
    for item in named:
        if item.name in seen:
            raise ProtocolError(f"two {kind}s are named {reprlib.repr(item.name)}")
        seen.add(item.name)


def head_of(id: str | None, parameters: Mapping[str, Any] | None) -> dict[str, Any]:  # noqa: A002
    """What requests and responses have in common besides their tensors."""
    head: dict[str, Any] = {} if id is None else {"id": id}
    return {**head, "parameters": dict(parameters)} if parameters else head


def encode(
    head: dict[str, Any],
    key: str,
    tensors: Sequence[Tensor],
    binary: Collection[str],
    dumps: ArrayDumps = arrays_json.dumps,
) -> tuple[bytes, int | None]:
    """The body and its header length: `head`, with the tensors under `key`, `inputs` or `outputs`.

    binary: the names of those whose data lie behind the JSON. dumps: what writes the JSON. Raises ProtocolError for
    what cannot be written.
    """
    pieces: list[bytes] = []
    head[key] = [_described(tensor, key, pieces if tensor.name in binary else None) for tensor in tensors]
    try:
        header = dumps(head)
    except (TypeError, ValueError) as error:
        raise ProtocolError(f"cannot be written in JSON: {error}") from None
    return (b"".join([header, *pieces]), len(header)) if pieces else (header, None)


def _described(tensor: Tensor, key: str, pieces: list[bytes] | None) -> dict[str, Any]:
    """The tensor's object in the JSON; its data go to the end of `pieces`, if given, instead."""
    entry: dict[str, Any] = {"name": tensor.name, "datatype": tensor.datatype, "shape": tensor.shape}
    parameters = {key: value for key, value in tensor.parameters.items() if key != "binary_data_size"}
    if pieces is None:
        entry["data"] = to_json(tensor, response=key == "outputs")
    else:
        pieces.append(to_binary(tensor))
        parameters["binary_data_size"] = len(pieces[-1])
    return {**entry, "parameters": parameters} if parameters else entry
