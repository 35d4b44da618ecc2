"""Messages of the protocol as they stand in documentation, and a request that can be changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ondevice.protocol.tensor import Tensor

_GOLDEN = Path(__file__).parents[1] / "ondevice" / "protocol" / "golden"


class Message(NamedTuple):
    """A body, and the length of its JSON where binary data follow."""

    body: bytes
    length: int | None = None


def golden(name: str, binary: bytes = b"") -> Message:
    """A message whose JSON stands in a file, with these data behind it."""
    header = (_GOLDEN / f"{name}.json").read_bytes().rstrip()
    return Message(header + binary, len(header) if binary else None)


# KServe, docs/predict-api/v2/required_api.md, "Inference Request Examples"; its second input has a value too few there.
KSERVE_REQUEST = golden("kserve_request")
KSERVE_RESPONSE = golden("kserve_response")
# Triton, docs/protocol/extension_binary_data.md, "Examples".
TRITON_REQUEST = golden("triton_request", b"\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0" + b"\1\0\1")
TRITON_RESPONSE = golden("triton_response", np.arange(6, dtype="<f4").tobytes())
IMAGE = golden("picture_request", b"\4\0\0\0\xff\xd8\xff\xe0")


def array(tensor: Tensor) -> np.ndarray[Any, Any]:
    assert isinstance(tensor.data, np.ndarray)
    return tensor.data


def body(**changes: Any) -> bytes:
    """A request with one input, its keys changed; None takes a key away."""
    tensor = {"name": "x", "datatype": "INT8", "shape": [2], "data": [1, 2], **changes.pop("tensor", {})}
    given = {"inputs": [{k: v for k, v in tensor.items() if v is not None}], **changes}
    return json.dumps({k: v for k, v in given.items() if v is not None}).encode()
