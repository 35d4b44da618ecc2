"""The ranking: the greatest first, ties by index, for every type of score that models have."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ondevice import ranking

TYPES = {np.int8: (-128, 127), np.uint8: (0, 255), np.float32: (-8, 8)}


@pytest.mark.parametrize("kind", TYPES)
@given(data=st.data())
def test_it_is_that_of_sorted(kind: type[np.generic], data: st.DataObject) -> None:
    # Few values, so that there are ties; and the ends of the range, where a sign could go wrong.
    values = st.sampled_from([TYPES[kind][0], TYPES[kind][0] + 1, -1 if kind is not np.uint8 else 1, 0, TYPES[kind][1]])
    scores = data.draw(st.lists(values, max_size=20))
    top = data.draw(st.integers(1, 25))
    found = ranking.best(np.array(scores, kind), top).tolist()
    assert found == sorted(range(len(scores)), key=lambda index: -scores[index])[:top]


def test_equal_scores_stand_in_the_order_of_their_index() -> None:
    assert ranking.best(np.zeros(5, np.uint8), 3).tolist() == [0, 1, 2]
    assert ranking.best(np.array([0.5, 0.0, 0.5, -0.0], np.float32), 9).tolist() == [0, 2, 1, 3]


def test_of_uint8_the_greatest_is_255_and_of_int8_the_least_is_128_below() -> None:
    assert ranking.best(np.array([0, 255, 1, 128], np.uint8), 4).tolist() == [1, 3, 2, 0]
    assert ranking.best(np.array([-128, 127, -127, 0], np.int8), 4).tolist() == [1, 3, 2, 0]


def test_infinities_are_ranked() -> None:
    assert ranking.best(np.array([-np.inf, 1, np.inf], np.float32), 3).tolist() == [2, 1, 0]


@pytest.mark.parametrize("scores", [[np.nan], [1, np.nan, 2], [np.nan] * 3])
@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_what_is_not_a_number_is_not_ranked(scores: list[float], kind: type[np.floating[Any]]) -> None:
    stored: NDArray[Any] = np.array(scores, kind)
    with pytest.raises(ValueError, match="not a number"):
        ranking.best(stored, 1)
