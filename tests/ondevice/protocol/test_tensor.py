"""Tensors of the protocol: every datatype there and back in both forms, and what is not tensor data."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from ondevice.errors import ProtocolError
from ondevice.protocol.arrays_json import dumps
from ondevice.protocol.tensor import (
    DATATYPES,
    MAX_ELEMENTS,
    MAX_RANK,
    Tensor,
    datatype_of,
    from_binary,
    from_json,
    parse_datatype,
    parse_shape,
    to_binary,
    to_json,
)


def in_json(tensor: Tensor) -> Any:
    """The tensor's data as who reads a request's JSON has them."""
    return json.loads(dumps(to_json(tensor)))


def ends(dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """The smallest and the largest values, and of fractions the one next to nothing."""
    if dtype.kind == "b":
        return np.array([False, True])
    if dtype.kind == "f":
        return np.array([(info := np.finfo(dtype)).min, info.max, info.tiny], dtype)
    return np.array([(whole := np.iinfo(dtype)).min, whole.max], dtype)


def arrays(dtype: np.dtype[Any]) -> st.SearchStrategy[Any]:
    """Arrays of all shapes, their values over the datatype's whole range."""
    values = npst.from_dtype(dtype, allow_nan=False, allow_infinity=False)
    shapes = npst.array_shapes(min_dims=0, max_dims=MAX_RANK, min_side=0, max_side=2) | st.just((70,))
    return st.just(ends(dtype)) | npst.arrays(dtype, shapes, elements=values)


@pytest.mark.parametrize("datatype", DATATYPES)
@given(data=st.data())
@settings(max_examples=20)
def test_there_and_back_in_both_forms(datatype: str, data: st.DataObject) -> None:
    array = data.draw(arrays(DATATYPES[datatype]))
    tensor = Tensor.of("t", array)
    assert (tensor.name, tensor.datatype, tensor.shape, tensor.parameters) == ("t", datatype, array.shape, {})
    raw, values = to_binary(tensor), in_json(tensor)
    assert len(raw) == array.nbytes
    for back in (from_binary(datatype, array.shape, memoryview(raw)), from_json(datatype, array.shape, values)):
        assert isinstance(back, np.ndarray)
        assert (back.dtype, back.shape) == (array.dtype, array.shape)
        assert np.array_equal(back, array)


@pytest.mark.parametrize("elements", [[], [b""], [b"", b"\xe6\x97\xa5", b"a\0b", b"x" * 70_000]])
def test_bytes_there_and_back_in_both_forms(elements: list[bytes]) -> None:
    tensor = Tensor.of("t", elements)
    assert (tensor.datatype, tensor.shape) == ("BYTES", (len(elements),))
    assert from_binary("BYTES", tensor.shape, memoryview(to_binary(tensor))) == elements
    assert from_json("BYTES", tensor.shape, in_json(tensor)) == elements


def test_on_the_wire() -> None:
    assert to_binary(Tensor.of("t", np.array([1, -2], np.int16))) == b"\1\0\xfe\xff"
    assert to_binary(Tensor.of("t", np.array([True, False]))) == b"\1\0"
    assert to_binary(Tensor.of("t", [b"ab", b""])) == b"\2\0\0\0ab\0\0\0\0"
    assert in_json(Tensor.of("t", np.array([[1, 2], [3, 4]], np.uint8))) == [1, 2, 3, 4]
    assert in_json(Tensor.of("t", np.float32([0.5]))) == [0.5]


def test_arrays_of_another_layout_are_written_little_endian_and_row_major() -> None:
    assert to_binary(Tensor.of("t", np.array([1, 2], ">u2"))) == b"\1\0\2\0"
    assert to_binary(Tensor.of("t", np.array([[1, 2], [3, 4]], np.uint8).T)) == b"\1\3\2\4"
    assert in_json(Tensor.of("t", np.array([[1, 2], [3, 4]], np.uint8)[:, ::-1])) == [2, 1, 4, 3]


def test_datatypes() -> None:
    assert [datatype_of(dtype) for dtype in DATATYPES.values()] == list(DATATYPES)
    assert [datatype_of(np.dtype(kind)) for kind in ("float32", ">f4", "bool", "q")] == [
        "FP32",
        "FP32",
        "BOOL",
        "INT64",
    ]
    for dtype in ("complex64", "object", "S3", "U3", "datetime64[s]"):
        with pytest.raises(ProtocolError, match=r"no datatype for arrays of .*; convert it to one of BOOL, .*, BYTES"):
            datatype_of(np.dtype(dtype))


def test_an_array_read_in_binary_is_no_copy() -> None:
    raw = b"?" + bytes(range(8))
    array = from_binary("UINT16", (2, 2), memoryview(raw)[1:])
    assert isinstance(array, np.ndarray)
    assert np.shares_memory(array, np.frombuffer(raw, np.uint8))
    assert not array.flags.writeable
    assert array.tolist() == [[0x0100, 0x0302], [0x0504, 0x0706]]


@pytest.mark.parametrize(
    ("shape", "data"),
    [
        ((2, 2), [[1, 2], [3, 4]]),
        ((1, 2, 2), [[[1, 2], [3, 4]]]),
        ((2, 2), [1, 2, 3, 4]),
        ((4, 1), [[1], [2], [3], [4]]),
    ],
)
def test_json_may_be_nested_as_the_shape_is(shape: tuple[int, ...], data: list[Any]) -> None:
    array = from_json("INT8", shape, data)
    assert isinstance(array, np.ndarray)
    assert array.shape == shape
    assert array.ravel().tolist() == [1, 2, 3, 4]


def test_nested_and_empty() -> None:
    assert np.shape(from_json("FP32", (2, 0), [[], []])) == (2, 0)
    assert from_json("BYTES", (2, 1), [["a"], ["b"]]) == [b"a", b"b"]


@pytest.mark.parametrize(
    ("datatype", "shape", "data", "why"),
    [
        ("INT8", [1], {"0": 1}, "'data' is not a list"),
        ("INT8", [1], "1", "'data' is not a list"),
        ("INT8", [2], [1], "there are 1 data, shape [2] takes 2"),
        ("INT8", [], [1, 2], "there are 2 data, shape [] takes 1"),
        ("INT8", [], [[1]], "there are lists among the data; INT8 takes integers"),
        ("INT8", [0], [1], "there are 1 data"),
        ("INT8", [2, 2], [[1, 2], [3]], "the data are not nested as shape [2, 2] is"),
        ("INT8", [2, 2], [[1, 2, 3, 4]], "not nested"),
        ("INT8", [1, 4], [[1, 2], [3, 4]], "not nested"),
        ("INT8", [2, 2], [[1, 2], 3], "not nested"),
        ("INT8", [2, 1], [1, [2]], "there are lists among the data; INT8 takes integers"),
        ("INT8", [1], [[[1]]], "lists among the data"),
        ("INT8", [2], [1, True], "there are booleans among the data; INT8 takes integers"),
        ("INT8", [2], [1, 1.0], "there are fractions among the data; INT8 takes integers"),
        ("INT8", [1], ["1"], "there are strings among the data"),
        ("INT8", [1], [None], "there are nulls among the data"),
        ("INT8", [1], [{}], "there are objects among the data"),
        ("INT8", [1], [128], "a number among the data is out of the range of INT8"),
        ("UINT8", [1], [-1], "out of the range of UINT8"),
        ("INT64", [1], [2**63], "out of the range of INT64"),
        ("UINT64", [2], [2**64, 0], "out of the range of UINT64"),
        ("INT32", [1], [10**400], "out of the range of INT32"),
        ("BOOL", [1], [1], "there are integers among the data; BOOL takes booleans"),
        ("FP32", [2], [0.5, True], "there are booleans among the data; FP32 takes fractions and integers"),
        ("FP32", [1], [None], "there are nulls among the data"),
        ("FP32", [1], [1e39], "out of the range of FP32"),
        ("FP16", [1], [65520], "out of the range of FP16"),
        ("FP64", [1], [math.inf], "out of the range of FP64"),
        ("FP64", [1], [10**400], "out of the range of FP64"),
        ("BYTES", [2], ["a", 1], "there are integers among the data; BYTES takes strings"),
        ("BYTES", [1], [["a"]], "the data are not nested|lists among the data"),
    ],
)
def test_what_json_data_may_not_be(datatype: str, shape: list[int], data: Any, why: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        from_json(datatype, tuple(shape), data)
    assert any(part in str(caught.value) for part in why.split("|"))


def test_the_ends_of_a_range_are_in_it() -> None:
    # A client may print the largest float32 with fewer digits, which makes a double a little above it.
    assert from_json("FP32", (1,), [3.4028235e38]) == np.finfo(np.float32).max
    assert from_json("UINT64", (2,), [0, 2**64 - 1])[1] == 2**64 - 1


@pytest.mark.parametrize(
    ("datatype", "shape", "raw", "why"),
    [
        ("FP32", [2], bytes(7), "binary_data_size is 7, FP32 [2] takes 8 bytes"),
        ("FP32", [2], bytes(9), "binary_data_size is 9"),
        ("INT8", [0], bytes(1), "binary_data_size is 1, INT8 [0] takes 0 bytes"),
        ("UINT8", [MAX_ELEMENTS], b"", "takes 2147483647 bytes"),
        ("BOOL", [3], b"\0\1\2", "a byte of BOOL is neither 0 nor 1"),
        ("BYTES", [1], b"", "element 0 of 1 ends past the 0 bytes of binary_data_size"),
        ("BYTES", [1], b"\1\0\0", "element 0 of 1 ends past the 3 bytes"),
        ("BYTES", [1], b"\2\0\0\0a", "element 0 of 1 ends past the 5 bytes"),
        ("BYTES", [1], b"\xff\xff\xff\xffa", "element 0 of 1 ends past"),
        ("BYTES", [2], b"\1\0\0\0a", "element 1 of 2 ends past the 5 bytes"),
        ("BYTES", [1], b"\1\0\0\0ab", "binary_data_size is 6, 1 elements take 5 bytes"),
        ("BYTES", [0], b"\0", "binary_data_size is 1, 0 elements take 0 bytes"),
        ("BYTES", [MAX_ELEMENTS], b"\0\0\0\0", "element 1 of 2147483647 ends past"),
    ],
)
def test_what_binary_data_may_not_be(datatype: str, shape: list[int], raw: bytes, why: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        from_binary(datatype, tuple(shape), memoryview(raw))
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("shape", "why"),
    [
        (None, "'shape' is missing"),
        (3, "'shape' is 3, not a list"),
        ("3", "'shape' is '3', not a list"),
        ([1, -1], "'shape' holds -1, which is not a size"),
        ([1.0], "'shape' holds 1.0"),
        ([True], "'shape' holds True"),
        ([None], "'shape' holds None"),
        ([[1]], "'shape' holds [1]"),
        ([1] * 9, "'shape' has 9 dimensions; at most 8 are read"),
        ([2**31], "shape [2147483648] is too large; at most 2147483647 elements are read"),
        ([2**16, 2**16], "too large"),
        ([0, 2**40], "too large"),
        ([10**4000, 10**4000], "too large"),
    ],
)
def test_what_a_shape_may_not_be(shape: Any, why: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse_shape(shape)
    assert why in str(caught.value)
    assert len(str(caught.value)) < 200


def test_shapes() -> None:
    shapes = [(), (0,), (7,), (2, 0, 3), (1, 2, 3, 1, 1, 1, 1, 2)]
    assert [parse_shape(list(shape)) for shape in shapes] == shapes


@pytest.mark.parametrize("value", [None, "", "fp32", "BF16", "STRING", 5, ["FP32"], {}])
def test_what_is_no_datatype(value: Any) -> None:
    with pytest.raises(ProtocolError, match=r"datatype.*; give one of BOOL, UINT8.*, BYTES"):
        parse_datatype(value)


def test_values_that_are_not_finite() -> None:
    tensor = Tensor.of("t", np.float32([np.nan, 1, np.inf, -np.inf]))
    back = from_binary("FP32", (4,), memoryview(to_binary(tensor)))
    assert np.array_equal(back, tensor.data, equal_nan=True)
    assert to_json(tensor, response=True) == [None, 1, None, None]
    assert np.array_equal(from_json("FP32", (3,), [None, 1, 2.5], response=True), [np.nan, 1, 2.5], equal_nan=True)
    assert np.array_equal(from_json("FP16", (2,), [1e9, -math.inf], response=True), [np.inf, -np.inf])
    with pytest.raises(ProtocolError, match="JSON has no NaN and no infinities: send tensor 't' in binary"):
        to_json(tensor)
    with pytest.raises(ProtocolError, match="nulls among the data"):
        from_json("INT8", (1,), [None], response=True)
    with pytest.raises(ProtocolError, match="out of the range of FP64"):
        from_json("FP64", (1,), [10**400], response=True)


@pytest.mark.parametrize(
    "tensor",
    [
        Tensor("t", "FP32", (2,), np.zeros(3, np.float32)),
        Tensor("t", "FP32", (2,), np.zeros(2)),
        Tensor("t", "FP32", (2,), np.zeros(2, complex)),
        Tensor("t", "BYTES", (2,), np.zeros(2)),
        Tensor("t", "BYTES", (2,), [b""]),
        Tensor("t", "UINT8", (1,), [b""]),
        Tensor("t", "STRING", (1,), [b""]),
    ],
    ids=lambda tensor: f"{tensor.datatype} {np.asarray(tensor.data).dtype}",
)
def test_a_tensor_that_is_not_what_it_says_is_not_written(tensor: Tensor) -> None:
    for write in (to_binary, to_json):
        with pytest.raises(
            ProtocolError, match=rf"tensor 't' says {tensor.datatype} \[\d\], but has \d values of \w+;"
        ):
            write(tensor)


def test_bytes_that_are_no_text_do_not_fit_into_json() -> None:
    with pytest.raises(ProtocolError, match="tensor 't' is not UTF-8 text: send it in binary"):
        to_json(Tensor.of("t", [b"\xff\xd8"]))
