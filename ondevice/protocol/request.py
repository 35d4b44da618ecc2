"""A request for an inference: read by a server, written by a client."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ondevice.errors import ProtocolError
from ondevice.protocol import arrays_json
from ondevice.protocol.message import (
    ArrayDumps,
    MessageReader,
    check_names,
    check_no_shared_memory,
    checked_flag,
    encode,
    head_of,
    name_of,
    string_of,
)
from ondevice.protocol.tensor import MAX_ELEMENTS, Tensor


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


def decode_request(body: bytes | memoryview, header_length: int | None) -> InferRequest:
    """The request in a body. header_length: Inference-Header-Content-Length; None: all of the body is JSON.

    Raises ProtocolError.
    """
    message = MessageReader(body, header_length, response=False)
    parameters = message.parameters(message.json)
    binary = checked_flag(parameters.pop("binary_data_output", False), "binary_data_output")
    inputs = message.tensors("inputs")
    outputs = [_requested(item, message, binary) for item in message.items("outputs", optional=True)]
    check_names("output", outputs)
    return InferRequest(string_of(message.json, "id"), parameters, inputs, outputs, binary)


def encode_request(  # noqa: PLR0913  # as many as a request has members
    inputs: Sequence[Tensor],
    *,
    parameters: Mapping[str, Any] | None = None,
    outputs: Sequence[RequestedOutput] = (),
    binary: bool,
    id: str | None = None,  # noqa: A002  # as the protocol calls it
    dumps: ArrayDumps = arrays_json.dumps,
) -> tuple[bytes, int | None]:
    """The body of a request, and its header length; None: all of it is JSON.

    binary: the inputs travel in binary, and where no outputs are named, all are wanted in binary; without it there is
    nothing in it that the protocol does not require of a server. dumps: as `message.encode` takes it. Raises
    ProtocolError for what cannot be written, such as NaN in JSON.
    """
    wanted = {"binary_data_output": True} if binary and not outputs else {}
    head = head_of(id, {**(parameters or {}), **wanted})
    if outputs:
        head["outputs"] = [_wish(output) for output in outputs]
    return encode(head, "inputs", inputs, {tensor.name for tensor in inputs} if binary else (), dumps)


def _requested(item: dict[str, Any], message: MessageReader, binary: bool) -> RequestedOutput:
    name = name_of(item, "output")
    try:
        parameters = message.parameters(item)
        check_no_shared_memory(parameters)
        classes = parameters.get("classification", 0)
        if type(classes) is not int or not 0 <= classes <= MAX_ELEMENTS:
            raise ProtocolError(f"classification is {reprlib.repr(classes)}, not a number of classes")
        return RequestedOutput(name, checked_flag(parameters.get("binary_data", binary), "binary_data"), classes)
    except ProtocolError as error:
        raise ProtocolError(f"output {reprlib.repr(name)}: {error}") from None


def _wish(output: RequestedOutput) -> dict[str, Any]:
    binary = {"binary_data": True} if output.binary else {}
    classes = {"classification": output.classification} if output.classification else {}
    parameters = {**binary, **classes}
    return {"name": output.name, "parameters": parameters} if parameters else {"name": output.name}
