"""Things named in text: lists of them, and what is said of a wrong one."""

from __future__ import annotations

import pytest

from ondevice.errors import UsageError
from ondevice.lab.simulate import notation
from ondevice.lab.simulate.notation import Bounds


def test_commas_part_items_and_settings() -> None:
    texts = ["normal:mean=50,std=25,floor:min=1,tail=2", " greedy , cnnselect:threshold_ms=20,reading=sigma", "greedy"]
    assert notation.split_items(texts) == [
        "normal:mean=50,std=25", "floor:min=1,tail=2", "greedy", "cnnselect:threshold_ms=20,reading=sigma",
    ]  # fmt: skip
    assert notation.split_items(["", " , "]) == []


def test_numbers_come_in_the_order_of_their_bounds() -> None:
    bounds = {"a": Bounds(), "b": Bounds(default=3.0), "c": Bounds(-1, 1)}
    assert list(notation.parse_numbers("x", {"c": "-1", "a": "2"}, bounds).items()) == [("a", 2), ("b", 3), ("c", -1)]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, "x: a is missing; add a=NUMBER"),
        ({"a": "0"}, "x: a is a number above 0 to 5, not '0'"),
        ({"a": "-1"}, "above 0 to 5, not '-1'"),
        ({"a": "nan"}, "not 'nan'"),
        ({"a": "6"}, "not '6'"),
        ({"a": "two"}, "not 'two'"),
        ({"aa": "1"}, "no setting of x 'aa'; did you mean a"),
        ({"a": "z" * 9999}, "not 'zzz"),
    ],
)
def test_a_number_that_is_none_is_one_short_line(settings: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        notation.parse_numbers("x", settings, {"a": Bounds(0, 5, open=True)})
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "said"),
    [("x:a", "'a' is not a setting; write x:key=value"), ("x:a=", "'a='"), ("x:a=1,a=2", "a is given twice")],
)
def test_settings_that_are_none(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        notation.parse(text)
