"""A model of another server: what is known of it, how it is asked, and how its response is read."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ondevice import ranking, records, words
from ondevice.errors import CardError, ModelError, UnknownModelError
from ondevice.models import labels, zoo
from ondevice.models.card import Input
from ondevice.models.output import Meaning
from ondevice.preprocess import Preprocessor
from ondevice.protocol import arrays_json, replies
from ondevice.protocol.cnnselect import ANSWER, CROPPED, IMAGE, TOP, UPLOADS
from ondevice.protocol.message import ArrayDumps
from ondevice.protocol.metadata import ModelMetadata, TensorMetadata
from ondevice.protocol.request import RequestedOutput, encode_request
from ondevice.protocol.response import InferResponse
from ondevice.protocol.served import ServedModel, Work
from ondevice.protocol.tensor import Tensor
from ondevice.protocol.upload_shares import UploadShares
from ondevice.runtime import TensorSpec
from ondevice.timing.profile import Profile, loads

# (index, score), best first.
Ranking = list[tuple[int, float]]

_NATIVE = ("FP32", "UINT8", "INT8")
# Height, width and channels of a picture, or channels first; before them one for pictures, but for models that Triton
# serves without batches.
_PICTURE_RANK = 3
# What a stranger may have us allocate for one tensor: a picture of 2300 x 2300 pixels in colour.
_MOST_ELEMENTS = 2**24
# Of every request, for a reply comes on its own connection: models in KServe's server that answer with it need one.
_ID = "ondevice"
# What a stored pixel or score of 0 is: TensorFlow Lite's 8-bit quantization specification.
_ZERO = {"u": 0, "i": -128}
# The width of a step in a quantized softmax, from the same specification.
_SOFTMAX_STEP = np.float32(1 / 256)


class Feed(NamedTuple):
    """How a picture is decoded here for a model that takes only its own tensor."""

    input: Input
    channels_first: bool


@dataclass(frozen=True)
class RemoteModel:
    """A model of another server.

    feed: None where it takes pictures as they are. ranks: whether it then answers with label, score and index, as
    `ondevice serve` does, and not with its own output. published: the times that its server has for it, if any.
    meaning: of its own output.
    """

    served: ServedModel
    feed: Feed | None
    ranks: bool
    published: Profile | None
    meaning: Meaning = Meaning.SCORES

    def request(self, work: Work, binary: bool, dumps: ArrayDumps = arrays_json.dumps) -> tuple[bytes, int | None]:
        """The body and header length of a request for the work; a picture only where `feed` is None.

        binary: in the binary extension, or without any. dumps: as `encode_request` takes it. Raises ProtocolError.
        """
        own = self.served.input
        if work.is_picture:
            tensor = Tensor.of(IMAGE, [work.payload if binary else base64.b64encode(work.payload)])
        else:
            tensor = Tensor.of(own.name, np.frombuffer(work.payload, own.dtype).reshape(own.shape))
        ranked = self.ranks and work.is_picture and work.top > 0
        names = [*(ANSWER if ranked else ()), *([self.served.output.name] if work.raw or not ranked else ())]
        outputs = [RequestedOutput(name, binary) for name in names]
        parameters: dict[str, Any] = {TOP: work.top} if ranked else {}
        if self.ranks and work.cropped < 1:
            parameters[CROPPED] = work.cropped
        told = parameters or None
        return encode_request([tensor], parameters=told, outputs=outputs, binary=binary, id=_ID, dumps=dumps)

    def read(self, response: InferResponse, work: Work) -> tuple[Ranking, bytes]:
        """The best (index, score), best first, and the own output if `work` wants it. Raises UpstreamError."""
        ranked = self.ranks and work.is_picture and work.top > 0
        top = _ranking(response, self.served, work.top) if ranked else []
        if ranked and not work.raw:
            return top, b""
        raw = _stored(response, self.served)
        if not ranked and (work.top or work.picture):  # of a picture it is made sure that they are numbers
            top = best(raw, self.served.background, work.top, self.meaning)
        return top, raw.tobytes() if work.raw else b""


def describe(name: str, metadata: ModelMetadata, where: str) -> RemoteModel:
    """The model from its metadata, and from its card in the zoo where they do not say enough.

    where: the server's name. Raises ModelError with the reason where it cannot be served from here.
    """
    inputs, outputs = metadata.inputs, metadata.outputs
    takes_pictures = IMAGE in inputs and inputs[IMAGE].datatype == "BYTES"
    try:
        own = takes_pictures and "labels" in metadata.parameters
        known = _published(metadata.parameters) if own else _carded(name, takes_pictures)
        source = _only(inputs, "input", _PICTURE_RANK)
        served = _served(name, where, known, source, _only(outputs, "output"))
        feed = None if takes_pictures else _feed(source, known.input)
    except (CardError, ValueError) as error:
        raise ModelError(str(error), name) from error
    return RemoteModel(served, feed, outputs.keys() >= set(ANSWER), known.profile, known.meaning)


def best(stored: NDArray[Any], background: bool, top: int, meaning: Meaning = Meaning.SCORES) -> Ranking:
    """The best `top` of an output [outputs] as (index, score), equal scores in the order of their index.

    The protocol does not tell the scale of integers: they are taken for a quantized softmax. Raises UpstreamError where
    a score is none that a classifier gives.
    """
    if stored.dtype.kind == "f":
        replies.check_scores(stored)
    own = stored[1:] if background else stored
    classes = ranking.two_classes(_real(stored), meaning) if meaning.of_two else own
    indexes = ranking.best(classes, top)
    return list(zip(indexes.tolist(), _real(classes[indexes]).tolist(), strict=True))


def _real(stored: NDArray[Any]) -> NDArray[np.float32]:
    values = stored.astype(np.float32)
    return values if stored.dtype.kind == "f" else (values - _ZERO[stored.dtype.kind]) * _SOFTMAX_STEP


def preparation(remote: RemoteModel) -> dict[str, Any]:
    """What a worker must know to decode pictures for the model."""
    assert remote.feed, "it decodes them itself"
    given, own = remote.feed.input, remote.served.input
    kept = {name: getattr(given, name) for name in ("height", "width", "channels", "crop", "bgr")}
    # The protocol does not tell the scale of integers. They get the pixels themselves, in int8 from -128 on, which is
    # within a level or two of what converters make of the range of pixels.
    plain = own.dtype.kind == "f"
    values = {"mean": given.mean, "std": given.std} if plain else {"mean": [0.0], "std": [1.0]}
    return {
        "input": {**kept, **values},
        "shape": (1, *own.shape[-_PICTURE_RANK:]),
        "dtype": own.dtype.name,
        "zero_point": 0 if plain else _ZERO[own.dtype.kind],
        "channels_first": remote.feed.channels_first,
    }


def preprocessor(prepared: Mapping[str, Any]) -> Preprocessor:
    """What decodes pictures as `preparation` says."""
    shape, dtype = tuple(prepared["shape"]), np.dtype(prepared["dtype"])
    spec = TensorSpec(0, shape, dtype, 0.0, prepared["zero_point"])
    return Preprocessor(Input(**prepared["input"]), spec, prepared["channels_first"])


class _Known(NamedTuple):
    """What a server's metadata or a card tell of a model; input: of a card alone.

    crop: 1 also where a server cuts out what it likes, and would do so of a picture whose centre alone is sent.
    """

    labels: tuple[str, ...]
    top1: float | None
    accuracy_data: str
    precision: str
    size_bytes: int
    background: bool
    input: Input | None = None
    profile: Profile | None = None
    meaning: Meaning = Meaning.SCORES
    crop: float = 1.0
    uploads: UploadShares | None = None


def _published(parameters: Mapping[str, Any]) -> _Known:
    """What `ondevice serve` tells of a model. Raises ValueError."""
    names, top1 = parameters["labels"], parameters.get("top1")
    if not isinstance(names, list) or len(names) < 2 or not all(isinstance(name, str) for name in names):
        raise ValueError("its metadata have labels that are not a list of names")
    if top1 is not None and not (_is_number(top1) and 0 <= top1 <= 1):
        raise ValueError("its metadata have a top1 that is not a fraction")
    return _Known(
        tuple(names),
        None if top1 is None else float(top1),
        str(parameters.get("accuracy_data", "")),
        str(parameters.get("precision", "")),
        0,
        parameters.get("background") is True,
        profile=_profile(parameters.get("profile")),
        crop=_crop(parameters.get("crop")),
        uploads=_uploads(parameters.get(UPLOADS)),
    )


def _profile(row: Any) -> Profile | None:
    """The times of a model as its server has learned them; None where it does not say, or says something else."""
    try:
        return loads(json.dumps([row]))[0]
    except ValueError:
        return None


def _crop(value: Any) -> float:
    """Version 0.1.0 does not say it, and cuts it out of whatever comes."""
    return float(value) if _is_number(value) and 0 < value <= 1 else 1.0


def _uploads(value: Any) -> UploadShares | None:
    """What was measured there of what can be sent; None where it does not say, or says something else."""
    try:
        return records.read(UploadShares, value)
    except ValueError:
        return None


def _carded(name: str, takes_pictures: bool) -> _Known:
    """What the zoo's card of that name tells. Raises ModelError, CardError."""
    try:
        entry = zoo.find(name)
    except UnknownModelError as error:
        raise ModelError(
            "nothing is known of its labels and accuracy: "
            f"{words.typed('ondevice', 'models', 'add', 'FILE', '--name', name)} adds a card of its name",
            name,
        ) from error
    card, accuracy = entry.card, entry.card.accuracy
    return _Known(
        labels.load(card.labels, entry.card_path.parent).names,
        accuracy.top1 if accuracy else None,
        accuracy.data if accuracy else "",
        card.precision,
        card.size_bytes,
        card.background,
        card.input,
        meaning=card.meaning,
        crop=1.0 if takes_pictures else card.input.crop,
        uploads=card.uploads.shares if card.uploads else None,
    )


def _only(tensors: Mapping[str, TensorMetadata], kind: str, rank: int | None = None) -> TensorMetadata:
    """The model's own tensor among those of one end: that of a datatype and rank that classifiers have."""
    beside = (IMAGE, *ANSWER)
    if not tensors:
        raise ValueError(f"its metadata tell no {kind}s: have its server say them (KServe's: get_{kind}_types)")
    own = [tensor for tensor in tensors.values() if tensor.name not in beside and tensor.datatype in _NATIVE]
    if len(own) != 1:
        raise ValueError(f"it has {len(own)} {kind}s of {', '.join(_NATIVE)}: an image classifier has one")
    shape = own[0].shape
    if not shape:
        raise ValueError(f"its {kind} has no shape")
    single = (1, *shape[1:]) if shape[0] == -1 else shape  # a batch of any size: of one
    one_picture = rank is None or len(single) == rank or (len(single) == rank + 1 and single[0] == 1)
    if min(single) < 1 or math.prod(single) > _MOST_ELEMENTS or not one_picture:
        raise ValueError(f"its {kind} is {list(shape)}, not that of an image classifier for one picture")
    return own[0]._replace(shape=single)


def _feed(own: TensorMetadata, given: Input | None) -> Feed:
    if given is None:
        raise ValueError("it takes no pictures, and no card says how to decode them for it")
    last, first = (given.height, given.width, given.channels), (given.channels, given.height, given.width)
    picture = own.shape[-_PICTURE_RANK:]
    if picture not in (last, first):
        raise ValueError(f"its input is {list(own.shape)}, that of the card of its name {[1, *last]}")
    return Feed(given, channels_first=picture != last)


def _served(name: str, where: str, known: _Known, source: TensorMetadata, output: TensorMetadata) -> ServedModel:
    classes = len(known.labels) + known.background
    of_two = classes == 2 and math.prod(output.shape) == 1
    if not of_two and (max(output.shape) != classes or math.prod(output.shape) != classes):
        raise ValueError(f"its output is {list(output.shape)}; its labels make {classes} classes")
    return ServedModel(
        name,
        known.labels,
        known.top1,
        known.accuracy_data,
        known.precision,
        known.size_bytes,
        where,
        source,
        output,
        known.background,
        known.crop,
        known.uploads,
    )


def _stored(response: InferResponse, served: ServedModel) -> NDArray[Any]:
    """The model's own output, flat. Raises UpstreamError."""
    name, datatype, shape = own = served.output
    data = next((tensor.data for tensor in response.outputs if tensor.name == name), None)
    if not isinstance(data, np.ndarray) or data.dtype != own.dtype or data.size != math.prod(shape):
        raise replies.wrong(f"its output {name} is not {datatype} {list(shape)}")
    return data.reshape(-1)


def _ranking(response: InferResponse, served: ServedModel, top: int) -> Ranking:
    """The classes that it ranked itself, their names compared with ours. Raises UpstreamError."""
    rows = replies.ranking(response.outputs, top)
    for index, label, _ in rows:
        if not index < len(served.labels) or label != served.labels[index]:
            raise replies.wrong(f"its label for class {index} is not the one that it had before")
    return [(index, score) for index, _, score in rows]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
