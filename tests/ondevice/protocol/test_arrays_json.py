"""JSON of arrays: every number as it was, and as short as its datatype allows."""

from __future__ import annotations

import json

import numpy as np
import pytest

from ondevice.protocol import arrays_json
from ondevice.protocol.arrays_json import dumps
from ondevice.protocol.tensor import DATATYPES

PICTURE = (np.random.default_rng(0).integers(0, 256, (224, 224, 3)) / 127.5 - 1).astype(np.float32)


@pytest.mark.parametrize("dtype", DATATYPES.values(), ids=str)
@pytest.mark.parametrize("size", [0, 1, 7, arrays_json._AT_ONCE, 2 * arrays_json._AT_ONCE + 1])
def test_every_number_comes_back_whether_there_are_few_or_many(dtype: np.dtype[np.generic], size: int) -> None:
    numbers = np.random.default_rng(1)
    info = np.iinfo(dtype) if dtype.kind in "iu" else None
    many = numbers.integers(info.min, info.max, size, dtype) if info else numbers.normal(size=size).astype(dtype)
    for array in (many, many[: size // 3 + 1].repeat(3)[:size]):
        read = json.loads(dumps({"a": [array], "b": "text"}))
        assert np.array_equal(np.array(read["a"][0], dtype), array)
        assert read["b"] == "text"


def test_the_ends_of_what_floats_can_be() -> None:
    info = np.finfo(np.float32)
    ends = np.array([info.max, info.min, info.tiny, info.smallest_subnormal, -0.0, 1e-7, 16777217], np.float32)
    assert np.array_equal(np.array(json.loads(dumps(ends)), np.float32), ends)


def test_several_arrays_stay_apart() -> None:
    assert dumps([np.arange(3), "x", np.float32([[0.1, 0.2]])]) == b'[[0,1,2],"x",[0.1,0.2]]'


@pytest.mark.parametrize("name", ["<array 1>", '{"":null}', "[0,1]", "\0", "ä\u2028"])
def test_no_name_that_a_server_may_give_its_tensors_is_taken_for_an_array(name: str) -> None:
    assert json.loads(dumps([name, np.arange(2), {name: np.arange(1)}])) == [name, [0, 1], {name: [0]}]


def test_a_picture_takes_half_of_what_64_bits_would() -> None:
    assert len(dumps(PICTURE)) < 0.6 * len(json.dumps(PICTURE.ravel().tolist()))


def test_what_is_not_json_is_refused() -> None:
    with pytest.raises(TypeError, match="set is not JSON"):
        dumps({"a": {1}})
