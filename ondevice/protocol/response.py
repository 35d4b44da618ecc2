"""A response with what was inferred: read by a client, written by a server."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ondevice.errors import ProtocolError
from ondevice.protocol import arrays_json
from ondevice.protocol.message import ArrayDumps, MessageReader, encode, head_of, string_of
from ondevice.protocol.tensor import Tensor


@dataclass(eq=False, slots=True)
class InferResponse:
    """A response: the outputs of a model, named as in the request."""

    model_name: str
    model_version: str | None
    id: str | None
    parameters: dict[str, Any]
    outputs: list[Tensor]


def decode_response(body: bytes | memoryview, header_length: int | None) -> InferResponse:
    """The response in a body, its floats NaN where they are null.

    header_length: Inference-Header-Content-Length; None: all of the body is JSON. Raises ProtocolError.
    """
    message = MessageReader(body, header_length, response=True)
    name, version = string_of(message.json, "model_name"), string_of(message.json, "model_version")
    if name is None:
        raise ProtocolError("'model_name' is missing")
    parameters, outputs = message.parameters(message.json), message.tensors("outputs")
    return InferResponse(name, version, string_of(message.json, "id"), parameters, outputs)


def encode_response(  # noqa: PLR0913  # as many as a response has members
    model_name: str,
    version: str | None,
    outputs: Sequence[Tensor],
    *,
    id: str | None = None,  # noqa: A002  # as the protocol calls it
    parameters: Mapping[str, Any] | None = None,
    binary: Collection[str] = (),
    dumps: ArrayDumps = arrays_json.dumps,
) -> tuple[bytes, int | None]:
    """The body of a response, and its header length; None: all of it is JSON. binary: names of outputs to be sent so.
    dumps: as `message.encode` takes it.

    Floats that are not finite become null in JSON. Raises ProtocolError for what cannot be written.
    """
    head = {"model_name": model_name, **head_of(id, parameters)}
    if version is not None:
        head["model_version"] = version
    return encode(head, "outputs", outputs, binary, dumps)
