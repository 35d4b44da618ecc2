"""Messages of the protocol as they stand in documentation, and a request that can be changed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from ondevice.protocol.tensor import Tensor

_GOLDEN = Path(__file__).parents[1] / "ondevice" / "protocol" / "golden"


def golden(name: str) -> bytes:
    """The JSON of a message as it stands in a file."""
    return (_GOLDEN / f"{name}.json").read_bytes().rstrip()


# KServe, docs/predict-api/v2/required_api.md, "Inference Request Examples"; its second input has a value too few there.
KSERVE_REQUEST = golden("kserve_request")
KSERVE_RESPONSE = golden("kserve_response")
# Triton, docs/protocol/extension_binary_data.md, "Examples".
TRITON_REQUEST_JSON = golden("triton_request")
TRITON_REQUEST = TRITON_REQUEST_JSON + b"\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0" + b"\1\0\1"
TRITON_RESPONSE_JSON = golden("triton_response")
TRITON_RESPONSE = TRITON_RESPONSE_JSON + np.arange(6, dtype="<f4").tobytes()
IMAGE_JSON = golden("picture_request")
IMAGE = IMAGE_JSON + b"\4\0\0\0\xff\xd8\xff\xe0"


def array(tensor: Tensor) -> np.ndarray[Any, Any]:
    assert isinstance(tensor.data, np.ndarray)
    return tensor.data


def body(**changes: Any) -> bytes:
    """A request with one input, its keys changed; None takes a key away."""
    tensor = {"name": "x", "datatype": "INT8", "shape": [2], "data": [1, 2], **changes.pop("tensor", {})}
    given = {"inputs": [{k: v for k, v in tensor.items() if v is not None}], **changes}
    return json.dumps({k: v for k, v in given.items() if v is not None}).encode()
