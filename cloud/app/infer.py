"""From a request of the Open Inference Protocol to work for a backend, and from its result to the reply."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import orjson

from ondevice.cloud.app import pictures
from ondevice.cloud.app.messages import Request
from ondevice.cloud.app.request_parameters import of_request, queried
from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.select.parameters import RequestParameters
from ondevice.errors import ProtocolError
from ondevice.protocol import headers
from ondevice.protocol.cnnselect import ANSWER, IMAGE, INDEX, LABEL, SCORE, VERSION
from ondevice.protocol.picture import STARTS, PictureHead
from ondevice.protocol.request import RequestedOutput, decode_request
from ondevice.protocol.response import encode_response
from ondevice.protocol.served import ServedModel, Work
from ondevice.protocol.tensor import Tensor, from_base64

# As requests have it here.
_LENGTH = headers.LENGTH.lower()


class DecodedRequest(NamedTuple):
    """A decoded request for an inference. payload: a compressed picture, or the bytes of a native tensor."""

    parameters: RequestParameters
    payload: bytes
    is_picture: bool
    id: str | None = None
    outputs: tuple[RequestedOutput, ...] = ()
    binary: bool = False

    @property
    def plain(self) -> bool:
        """Whether a picture's classes are wanted in JSON, and nothing else."""
        return self.is_picture and not self.outputs and not self.binary and self.id is None

    @property
    def _head(self) -> PictureHead:
        return PictureHead.read(self.payload, self.parameters.cropped)

    def work(self, served: ServedModel | None, received: float) -> Work:
        """What the backend is to do; with `served` None for a model that is yet to be chosen."""
        names = [output.name for output in self.outputs]
        if not self.is_picture:
            return Work(
                self.payload, False, 0, not names or (served is not None and served.output.name in names), received
            )
        raw = served is not None and served.output.name in names
        top = 0 if raw and len(names) == 1 else self.parameters.top
        return Work(self.payload, True, top, raw, received, self._head)


def read(request: Request, served: ServedModel | None) -> DecodedRequest:
    """What is asked of a model or, with None, of whichever is chosen: by a picture alone, or as the protocol has it.

    Raises ProtocolError.
    """
    head = request.head
    length = headers.json_length(head.headers.get(_LENGTH))
    if length:
        return decode(request.content, length, served, head.query)
    body = request.body
    if length == 0:
        return _raw(body, served, queried(head.query))
    kind = head.headers.get("content-type", "")
    picture = pictures.of_body(kind, body)
    if picture is not None:
        return DecodedRequest(queried(head.query), picture, is_picture=True)
    try:
        return decode(body, None, served, head.query)
    except ProtocolError as error:
        if not pictures.may_be_json(body):
            raise ProtocolError(pictures.NEITHER) from error
        raise


def _raw(body: bytes, served: ServedModel | None, parameters: RequestParameters) -> DecodedRequest:
    """Triton's raw binary request: all of the body is the model's only input, and what is said comes in binary."""
    own = served.input if served else None
    if own and len(body) == own.size_bytes:
        return DecodedRequest(parameters, body, is_picture=False, binary=True)
    if own and not body.startswith(STARTS):
        takes = f"{own.name} as {own.datatype} {list(own.shape)}, {own.size_bytes} bytes"
        raise ProtocolError(f"the body has {len(body)} bytes: send {takes}, or a picture")
    return DecodedRequest(parameters, body, is_picture=True, binary=True)


def decode(
    body: bytes | memoryview, header_length: int | None, served: ServedModel | None, query: str = ""
) -> DecodedRequest:
    """Decode an infer request, for a model or, with None, for whichever is chosen.

    query: the URL's, with the parameters beside the body. Raises ProtocolError.
    """
    request = decode_request(body, header_length)
    parameters = of_request(query, request.parameters)
    names = [tensor.name for tensor in request.inputs]
    known = [IMAGE] if served is None else [IMAGE, served.input.name]
    if len(names) != 1 or names[0] not in known:
        raise ProtocolError(f"give one input, {' or '.join(known)}, not {', '.join(names)[:100] or 'none'}")
    _check_outputs(request.outputs, served)
    tensor = request.inputs[0]
    picture = tensor.name == IMAGE
    payload = _picture(tensor, json_body=header_length is None) if picture else _native(tensor, served)
    if not picture and any(output.name in ANSWER for output in request.outputs):
        raise ProtocolError(f"{', '.join(ANSWER)} are given for the input {IMAGE} alone")
    return DecodedRequest(parameters, payload, picture, request.id, tuple(request.outputs), request.binary_output)


def _check_outputs(outputs: Sequence[RequestedOutput], served: ServedModel | None) -> None:
    known = [*ANSWER] if served is None else [*ANSWER, served.output.name]
    for output in outputs:
        if output.name not in known:
            raise ProtocolError(f"no output {output.name[:100]!r}: there are {', '.join(known)}")
        if output.classification and (served is None or output.name != served.output.name):
            raise ProtocolError(f"{output.name} is a ranking already: classification is for a model's own output")


def _picture(tensor: Tensor, json_body: bool) -> bytes:
    if tensor.datatype != "BYTES" or not isinstance(tensor.data, list) or len(tensor.data) != 1:
        raise ProtocolError(f"{IMAGE} must be one element of BYTES, shape [1]: one compressed picture")
    element = tensor.data[0]
    in_binary = not json_body and "binary_data_size" in tensor.parameters
    return element if in_binary else from_base64(element)


def _native(tensor: Tensor, served: ServedModel | None) -> bytes:
    assert served is not None, "a model that is yet to be chosen takes pictures alone"
    name, datatype, shape = served.input
    if tensor.datatype != datatype or tuple(tensor.shape) != shape or not isinstance(tensor.data, np.ndarray):
        raise ProtocolError(f"{name} must be {datatype} {list(shape)}, not {tensor.datatype} {list(tensor.shape)}")
    return tensor.data.tobytes()


def encode(
    name: str, asked: DecodedRequest, served: ServedModel, result: InferenceResult, parameters: Mapping[str, Any]
) -> tuple[bytes, int | None]:
    """The reply's body, and the length of its JSON where binary tensors follow. name: as the client has it."""
    if asked.plain:
        # What most ask for, without the way through tensors, which costs as much as a choice of model.
        outputs = _plain(result.top[: asked.parameters.top], served)
        body = {"model_name": name, "model_version": VERSION, "parameters": parameters, "outputs": outputs}
        return orjson.dumps(body), None
    tensors = _tensors(asked, served, result)
    asked_for = {output.name: output.binary for output in asked.outputs}
    binary = [tensor.name for tensor in tensors if asked_for.get(tensor.name, asked.binary)]
    return encode_response(
        name, VERSION, tensors, id=asked.id, parameters=parameters, binary=binary, dumps=orjson.dumps
    )


def _plain(best: Sequence[tuple[int, float]], served: ServedModel) -> list[dict[str, Any]]:
    shape = [len(best)]
    return [
        {"name": LABEL, "datatype": "BYTES", "shape": shape, "data": [served.labels[index] for index, _ in best]},
        {"name": SCORE, "datatype": "FP32", "shape": shape, "data": [score for _, score in best]},
        {"name": INDEX, "datatype": "INT32", "shape": shape, "data": [index for index, _ in best]},
    ]


def _tensors(asked: DecodedRequest, served: ServedModel, result: InferenceResult) -> list[Tensor]:
    own = served.output.name
    classes = {output.name: output.classification for output in asked.outputs}
    names = list(classes) or ([*ANSWER] if asked.is_picture else [own])
    made = {} if names == [own] else _answer(result, served, asked.parameters.top)
    if own in names:
        made[own] = _own(result, served, classes.get(own, 0))
    return [made[name] for name in names]


def _answer(result: InferenceResult, served: ServedModel, top: int) -> dict[str, Tensor]:
    best = result.top[:top]
    label = [served.labels[index].encode() for index, _ in best]
    shape = (len(best),)
    return {
        LABEL: Tensor(LABEL, "BYTES", shape, label, {}),
        SCORE: Tensor(SCORE, "FP32", shape, np.array([score for _, score in best], np.float32), {}),
        INDEX: Tensor(INDEX, "INT32", shape, np.array([index for index, _ in best], np.int32), {}),
    }


def _own(result: InferenceResult, served: ServedModel, classes: int) -> Tensor:
    """The model's own output: all of it, or with so many classes its ranking."""
    own = served.output
    values = np.frombuffer(result.raw, own.dtype)
    return _ranking(values, served, classes) if classes else Tensor.of(own.name, values.reshape(own.shape))


def _ranking(values: np.ndarray[Any, Any], served: ServedModel, classes: int) -> Tensor:
    """Triton's classification extension: elements `value:index:label` of a model's own output, as it is: values that
    may be quantized, and a background class among the others; the one output of two classes is that of the second.
    """
    real = values.dtype.kind == "f"
    shown = "f" if real else "d"
    best = np.argsort(-values if real else ~values, kind="stable")[:classes]
    # Before the labels there is a background class; where two share an output, the first is not in it.
    first = len(values) - len(served.labels)
    scores = zip(best.tolist(), values[best].tolist(), strict=True)
    rows = [
        f"{value:{shown}}:{i}:{served.labels[i - first] if i >= first else 'background'}".encode()
        for i, value in scores
    ]
    return Tensor(served.output.name, "BYTES", (1, len(rows)), rows, {})
