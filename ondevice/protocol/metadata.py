"""What a server says of a model: its inputs and outputs, and parameters."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ondevice.errors import ProtocolError
from ondevice.protocol.cnnselect import IMAGE
from ondevice.protocol.tensor import DATATYPES, datatype_of


class TensorMetadata(NamedTuple):
    """An input or output of a model; -1 stands for a dimension of any size, () where the shape is not told."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    @classmethod
    def of(cls, name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> TensorMetadata:
        """Of arrays of this shape and dtype. Raises ProtocolError for a dtype that the protocol does not have."""
        return cls(name, datatype_of(dtype), shape)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of its arrays; BYTES has none."""
        return DATATYPES[self.datatype]

    @property
    def size_bytes(self) -> int:
        """What its arrays take, where every dimension is of a known size; BYTES has none."""
        return math.prod(self.shape) * self.dtype.itemsize

    def as_json(self) -> dict[str, Any]:
        """Its object in the metadata."""
        return {"name": self.name, "datatype": self.datatype, "shape": list(self.shape)}


class ModelMetadata(NamedTuple):
    """A model's metadata. inputs, outputs: by name, with those of pictures. parameters: what the server tells besides.

    `ondevice serve` lists the tensors that a picture goes by apart, as the parameter `image`: who obeys the metadata
    sends all the inputs. Version 0.1.0 listed them among the others.
    """

    inputs: Mapping[str, TensorMetadata]
    outputs: Mapping[str, TensorMetadata]
    parameters: Mapping[str, Any]

    @classmethod
    def parse(cls, value: Any) -> ModelMetadata:
        """From JSON; what it does not have is empty. Raises ProtocolError for what cannot be metadata."""
        if not isinstance(value, dict):
            raise ProtocolError("its metadata are not an object")
        parameters = _object(value, "parameters")
        pictures = _object(parameters, IMAGE)
        inputs, outputs = ({**_tensors(value, key), **_tensors(pictures, key)} for key in ("inputs", "outputs"))
        return cls(inputs, outputs, parameters)


def _object(value: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = value.get(key)
    return found if isinstance(found, dict) else {}


def _tensors(value: Mapping[str, Any], key: str) -> dict[str, TensorMetadata]:
    rows = value.get(key, [])
    if not isinstance(rows, list) or not all(isinstance(r, dict) and isinstance(r.get("name"), str) for r in rows):
        raise ProtocolError(f"its metadata have {key} that are not a list of named tensors")
    return {
        row["name"]: TensorMetadata(row["name"], str(row.get("datatype")), _shape(row.get("shape"))) for row in rows
    }


def _shape(value: Any) -> tuple[int, ...]:
    told = isinstance(value, list) and all(type(size) is int for size in value)
    return tuple(value) if told else ()
