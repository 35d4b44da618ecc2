"""The window of the last samples: against a list, and what each of them weighs."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondevice.timing.window import Window, fading


@given(st.integers(1, 7), st.lists(st.tuples(st.floats(0, 9), st.floats(0, 9)) | st.none(), max_size=30))
def test_it_holds_what_a_list_would(size: int, rows: list[tuple[float, float] | None]) -> None:
    """None: it is cleared."""
    window, kept, count = Window(size, 3, 2), list[tuple[float, float]](), 0
    for row in rows:
        if row is None:
            window.clear()
            kept, count = [], 0
        else:
            window.add(*row)
            kept, count = [*kept, row][-size:], count + 1
        assert list(zip(*window.columns.tolist(), strict=True)) == kept
        assert (window.count, len(window.weights.each)) == (count, len(kept))


def test_a_sample_weighs_half_of_one_that_is_a_half_life_newer() -> None:
    window = Window(8, 2)
    for value in range(11):
        window.add(value)
    assert window.columns.tolist() == [[3, 4, 5, 6, 7, 8, 9, 10]]
    assert window.weights.each[-1] == 1
    assert window.weights.each[:-2] == pytest.approx(window.weights.each[2:] / 2)


def test_a_few_weigh_as_the_newest_of_many() -> None:
    window = Window(8, 2)
    window.add(1.0)
    window.add(2.0)
    assert window.weights.each == pytest.approx([0.5**0.5, 1])
    assert (window.weights.total, window.weights.squares) == pytest.approx((1 + 0.5**0.5, 1.5))


def test_weights_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        fading(3, 1.0)[2].each[0] = 5.0
    assert [len(weights.each) for weights in fading(3, 1.0)] == [0, 1, 2, 3]
