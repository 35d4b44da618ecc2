"""The Open Inference Protocol V2 on the wire: requests and responses, read and written. A leaf.

The protocol is KServe's (docs/predict-api/v2/required_api.md there) with Triton's extensions for binary tensor data and
classification (docs/protocol/ there): a body is a JSON object, and behind it lie, in the JSON's order, the data of the
tensors whose parameters have `binary_data_size`. The HTTP header Inference-Header-Content-Length gives the length of
the JSON in bytes.

What strings of BYTES encode, such as base64, is between the model and its clients. JSON has neither NaN nor infinities.
Triton writes them all the same, as bare words that few can read; here they become null in a response, which numpy, and
so tritonclient, reads as NaN. Words and null are both read in responses and refused in requests, where the binary
extension carries such values.

Whatever is read may be hostile: it raises ProtocolError and nothing else, and nothing is allocated for a shape before
the data for it have been seen.
"""

from __future__ import annotations

import binascii
import json
import math
import reprlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ondevice.errors import ProtocolError
from ondevice.protocol.cnnselect import IMAGE
from ondevice.protocol.tensor import (
    DATATYPES,
    MAX_ELEMENTS,
    Tensor,
    datatype_of,
    from_binary,
    from_json,
    parse_datatype,
    parse_shape,
    to_binary,
    to_json,
)

__all__ = [
    "DATATYPES",
    "InferRequest",
    "InferResponse",
    "RequestedOutput",
    "Tensor",
    "datatype_of",
    "decode_request",
    "decode_response",
    "encode_request",
    "encode_response",
    "from_base64",
    "image_request",
]

MAX_TENSORS = 64


@dataclass(slots=True)
class RequestedOutput:
    """An output that a request names. classification: the number of classes wanted, 0 for the tensor itself."""

    name: str
    binary: bool = False
    classification: int = 0


@dataclass(eq=False, slots=True)
class InferRequest:
    """A request. binary_output: whether outputs that do not say themselves are wanted in binary.

    parameters: without `binary_data_output`. outputs: none means all.
    """

    id: str | None
    parameters: dict[str, Any]
    inputs: list[Tensor]
    outputs: list[RequestedOutput]
    binary_output: bool


@dataclass(eq=False, slots=True)
class InferResponse:
    """A response."""

    model_name: str
    model_version: str | None
    id: str | None
    parameters: dict[str, Any]
    outputs: list[Tensor]


def from_base64(element: bytes) -> bytes:
    """What an element of BYTES holds in standard base64 without line breaks. Raises ProtocolError."""
    try:
        return binascii.a2b_base64(element, strict_mode=True)
    except binascii.Error as error:
        raise ProtocolError(f"a string is no base64: {error}") from None


def decode_request(body: bytes | memoryview, header_length: int | None) -> InferRequest:
    """The request in a body. header_length: Inference-Header-Content-Length; None: all of the body is JSON.

    Raises ProtocolError.
    """
    message = _Message(body, header_length, response=False)
    parameters = message.parameters(message.json)
    binary = _flag(parameters.pop("binary_data_output", False), "binary_data_output")
    inputs = message.tensors("inputs")
    outputs = [_requested(item, message, binary) for item in message.items("outputs", optional=True)]
    _check_names("output", outputs)
    return InferRequest(_text(message.json, "id"), parameters, inputs, outputs, binary)


def decode_response(body: bytes | memoryview, header_length: int | None) -> InferResponse:
    """The response in a body, its floats NaN where they are null. header_length as above. Raises ProtocolError."""
    message = _Message(body, header_length, response=True)
    name, version = _text(message.json, "model_name"), _text(message.json, "model_version")
    if name is None:
        raise ProtocolError("'model_name' is missing")
    parameters, outputs = message.parameters(message.json), message.tensors("outputs")
    return InferResponse(name, version, _text(message.json, "id"), parameters, outputs)


def encode_request(
    inputs: Sequence[Tensor],
    *,
    parameters: Mapping[str, Any] | None = None,
    outputs: Sequence[RequestedOutput] = (),
    binary: bool,
    id: str | None = None,  # noqa: A002  # as the protocol calls it
) -> tuple[bytes, int | None]:
    """The body of a request, and its header length; None: all of it is JSON.

    binary: the inputs travel in binary, and where no outputs are named, all are wanted in binary. Raises ProtocolError
    for what cannot be written, such as NaN in JSON.
    """
    wanted = {"binary_data_output": True} if binary and not outputs else {}
    head = _head(id, {**(parameters or {}), **wanted})
    if outputs:
        head["outputs"] = [_wish(output) for output in outputs]
    return _encoded(head, "inputs", inputs, {tensor.name for tensor in inputs} if binary else ())


def encode_response(  # noqa: PLR0913  # as many as a response has members
    model_name: str,
    version: str | None,
    outputs: Sequence[Tensor],
    *,
    id: str | None = None,  # noqa: A002  # as the protocol calls it
    parameters: Mapping[str, Any] | None = None,
    binary: Collection[str] = (),
) -> tuple[bytes, int | None]:
    """The body of a response, and its header length; None: all of it is JSON. binary: names of outputs to be sent so.

    Floats that are not finite become null in JSON. Raises ProtocolError for what cannot be written.
    """
    head = {"model_name": model_name, **_head(id, parameters)}
    if version is not None:
        head["model_version"] = version
    return _encoded(head, "outputs", outputs, binary)


def image_request(picture: bytes, parameters: Mapping[str, Any] | None = None) -> tuple[bytes, int]:
    """The body, and its header length, of a request with a compressed picture: BYTES [1] `image`, in binary."""
    body, _ = encode_request([Tensor.of(IMAGE, [picture])], parameters=parameters, binary=True)
    return body, len(body) - 4 - len(picture)


class _Message:
    """A body being read: `json`, its object, and `rest`, the binary data that no tensor has taken yet."""

    def __init__(self, body: bytes | memoryview, header_length: int | None, response: bool) -> None:
        view = memoryview(body)
        length = len(view) if header_length is None else header_length
        if not 0 <= length <= len(view):
            raise ProtocolError(f"Inference-Header-Content-Length is {length}, the body has {len(view)} bytes")
        self.response = response
        self.json = _object(view[:length], _RESPONSE_JSON if response else _REQUEST_JSON)
        self.rest = view[length:]

    def parameters(self, item: dict[str, Any]) -> dict[str, Any]:
        """An object's own; in a request they must be strings, numbers and booleans, as the protocol has it."""
        parameters = item.get("parameters")
        if parameters is None:
            return {}
        if not isinstance(parameters, dict):
            raise ProtocolError("'parameters' is no object")
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
            raise ProtocolError(f"'{key}' is {'missing' if items is None else 'no list'}")
        if len(items) > MAX_TENSORS:
            raise ProtocolError(f"there are {len(items)} {key}; at most {MAX_TENSORS} are read")
        for item in items:
            if not isinstance(item, dict):
                raise ProtocolError(f"'{key}' holds {reprlib.repr(item)}, which is no object")
        return items

    def tensors(self, key: str) -> list[Tensor]:
        """The tensors of a list; together they must take all the binary data."""
        kind = key[:-1]
        tensors = [self._tensor(item, kind) for item in self.items(key, optional=False)]
        _check_names(kind, tensors)
        if self.rest:
            raise ProtocolError(f"{len(self.rest)} bytes follow the last tensor's binary data")
        return tensors

    def _tensor(self, item: dict[str, Any], kind: str) -> Tensor:
        name = _name(item, kind)
        try:
            return self._named(name, item)
        except ProtocolError as error:
            raise ProtocolError(f"{kind} {reprlib.repr(name)}: {error}") from None

    def _named(self, name: str, item: dict[str, Any]) -> Tensor:
        datatype, shape = parse_datatype(item.get("datatype")), parse_shape(item.get("shape"))
        parameters, data = self.parameters(item), item.get("data")
        _check_no_shared_memory(parameters)
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
                f"binary_data_size is {reprlib.repr(size)}, {len(self.rest)} bytes are left; is "
                "Inference-Header-Content-Length the length of the JSON?"
            )
        taken, self.rest = self.rest[:size], self.rest[size:]
        return taken


def _refuse(constant: str) -> NoReturn:
    raise ProtocolError(f"{constant} is no JSON; the binary extension carries it")


_REQUEST_JSON = json.JSONDecoder(parse_constant=_refuse)
_RESPONSE_JSON = json.JSONDecoder()
_JSON = json.JSONEncoder(separators=(",", ":"), allow_nan=False)
_PLAIN_JSON = json.JSONEncoder(ensure_ascii=False)


def _object(header: memoryview, decoder: json.JSONDecoder) -> dict[str, Any]:
    try:
        text = str(header, "utf-8")
        found = decoder.decode(text)
        if "\\ud" in text or "\\uD" in text:  # half a surrogate pair makes a string that no one can encode
            _PLAIN_JSON.encode(found).encode()
    except (ValueError, RecursionError) as error:
        raise ProtocolError(_fault(error)) from None
    if not isinstance(found, dict):
        raise ProtocolError("the JSON is no object")
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


def _text(item: dict[str, Any], key: str) -> str | None:
    value = item.get(key)
    if value is not None and not isinstance(value, str):
        raise ProtocolError(f"'{key}' is {reprlib.repr(value)}, not a string")
    return value


def _name(item: dict[str, Any], kind: str) -> str:
    name = _text(item, "name")
    if not name:
        raise ProtocolError(f"an {kind} has no 'name'")
    return name


def _flag(value: Any, key: str) -> bool:
    if not isinstance(value, bool):
        raise ProtocolError(f"{key} is {reprlib.repr(value)}, not true or false")
    return value


def _check_no_shared_memory(parameters: dict[str, Any]) -> None:
    if "shared_memory_region" in parameters:
        raise ProtocolError("shared memory is not supported; use JSON or the binary extension")


def _check_names(kind: str, named: Iterable[Tensor | RequestedOutput]) -> None:
    seen: set[str] = set()
    for item in named:
        if item.name in seen:
            raise ProtocolError(f"two {kind}s are named {reprlib.repr(item.name)}")
        seen.add(item.name)


def _requested(item: dict[str, Any], message: _Message, binary: bool) -> RequestedOutput:
    name = _name(item, "output")
    try:
        parameters = message.parameters(item)
        _check_no_shared_memory(parameters)
        classes = parameters.get("classification", 0)
        if type(classes) is not int or not 0 <= classes <= MAX_ELEMENTS:
            raise ProtocolError(f"classification is {reprlib.repr(classes)}, not a number of classes")
        return RequestedOutput(name, _flag(parameters.get("binary_data", binary), "binary_data"), classes)
    except ProtocolError as error:
        raise ProtocolError(f"output {reprlib.repr(name)}: {error}") from None


def _head(id: str | None, parameters: Mapping[str, Any] | None) -> dict[str, Any]:  # noqa: A002
    head: dict[str, Any] = {} if id is None else {"id": id}
    return {**head, "parameters": dict(parameters)} if parameters else head


def _wish(output: RequestedOutput) -> dict[str, Any]:
    classes = {"classification": output.classification} if output.classification else {}
    return {"name": output.name, "parameters": {"binary_data": output.binary, **classes}}


def _encoded(
    head: dict[str, Any], key: str, tensors: Sequence[Tensor], binary: Collection[str]
) -> tuple[bytes, int | None]:
    """The body and its header length: `head`, with the tensors under `key`."""
    pieces: list[bytes] = []
    head[key] = [_described(tensor, key, pieces if tensor.name in binary else None) for tensor in tensors]
    try:
        header = _JSON.encode(head).encode()
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
