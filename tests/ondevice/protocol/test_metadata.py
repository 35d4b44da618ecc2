"""Metadata of models: written, read, and what is made of others'."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ondevice.errors import ProtocolError
from ondevice.protocol.metadata import ModelMetadata, TensorMetadata


def test_a_tensor_there_and_back() -> None:
    own = TensorMetadata.of("x", (1, 40, 40, 1), np.dtype(np.uint8))
    assert own.as_json() == {"name": "x", "datatype": "UINT8", "shape": [1, 40, 40, 1]}
    assert ModelMetadata.parse({"inputs": [own.as_json()]}).inputs == {"x": own}
    assert own.dtype == np.uint8


def test_a_dtype_that_the_protocol_does_not_have() -> None:
    with pytest.raises(ProtocolError, match="no datatype for arrays of complex64"):
        TensorMetadata.of("x", (1,), np.dtype(np.complex64))


def test_what_is_not_told_is_empty() -> None:
    assert ModelMetadata.parse({}) == ({}, {}, {})
    assert ModelMetadata.parse({"parameters": [1]}).parameters == {}


@pytest.mark.parametrize("shape", [None, "1", 5, [1, "2"], [1.0], [True], {}])
def test_a_shape_that_is_not_one_is_not_told(shape: Any) -> None:
    found = ModelMetadata.parse({"outputs": [{"name": "y", "datatype": ["FP32"], "shape": shape}]})
    assert found.outputs["y"].shape == ()


@pytest.mark.parametrize("key", ["inputs", "outputs"])
@pytest.mark.parametrize("rows", ["x", 5, {}, None, [1], [{}], [{"name": 5}], [{"name": "x"}, None]])
def test_what_is_not_a_list_of_tensors(key: str, rows: Any) -> None:
    with pytest.raises(ProtocolError, match=f"its metadata have {key} that are not a list of named tensors"):
        ModelMetadata.parse({key: rows})


@pytest.mark.parametrize("value", [[], None, "x", 5])
def test_what_is_not_an_object(value: Any) -> None:
    with pytest.raises(ProtocolError, match="not an object"):
        ModelMetadata.parse(value)
