"""Records are what their annotations say, or one line with the path of what is wrong."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondevice import records


class Pair(NamedTuple):
    size: int
    ms: float


@dataclass(frozen=True)
class Wheel:
    inches: float
    maker: str | None = None

    def __post_init__(self) -> None:
        if self.inches <= 0:
            raise ValueError("inches is above 0")


@dataclass(frozen=True)
class Car:
    name: str
    wheels: tuple[Wheel, ...]
    doors: int = 4
    electric: bool = False
    spare: Wheel | None = None
    size: tuple[float, float] | None = None
    pairs: list[Pair] = field(default_factory=list)
    parts: dict[str, Wheel] = field(default_factory=dict)
    notes: dict[str, Any] = field(default_factory=dict)
    wheel_count: int = field(init=False, default=0)


WHOLE: dict[str, Any] = {
    "name": "a car",
    "wheels": [{"inches": 15}, {"inches": 16.5, "maker": "M"}],
    "doors": 2,
    "electric": True,
    "spare": {"inches": math.inf},
    "size": [4.2, 2],
    "pairs": [[3, 1.5]],
    "parts": {"steering": {"inches": 14, "maker": None}},
    "notes": {"anything": [None]},
}


def test_a_whole_record() -> None:
    assert records.read(Car, WHOLE) == Car(
        "a car",
        (Wheel(15), Wheel(16.5, "M")),
        2,
        True,
        Wheel(math.inf),
        (4.2, 2),
        [Pair(3, 1.5)],
        {"steering": Wheel(14)},
        {"anything": [None]},
    )


def test_what_has_a_default_may_be_left_out() -> None:
    assert records.read(Car, {"name": "", "wheels": []}) == Car("", ())


def test_lists_and_tables_of_records() -> None:
    assert records.read(list[Wheel], [{"inches": 1}]) == [Wheel(1)]
    assert records.read(dict[str, Pair], {"a": (1, 2)}) == {"a": Pair(1, 2)}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"name": 3}, "name must be text, not 3"),
        ({"name": None}, "name must be text, not None"),
        ({"doors": 2.0}, "doors must be a whole number, not 2.0"),
        ({"doors": True}, "doors must be a whole number, not True"),
        ({"electric": 1}, "electric must be true or false, not 1"),
        ({"wheels": {}}, "wheels must be a list, not {}"),
        ({"wheels": "round"}, "wheels must be a list, not 'round'"),
        ({"wheels": [{"inches": 1}, {"inches": "x"}]}, "wheels[1].inches must be a number, not 'x'"),
        ({"wheels": [{"inches": False}]}, "wheels[0].inches must be a number, not False"),
        ({"wheels": [{"inches": -1}]}, "wheels[0]: inches is above 0"),
        ({"wheels": [{}]}, "'wheels[0].inches' is missing"),
        ({"wheels": [3]}, "wheels[0] must be a table of fields, not 3"),
        ({"spare": {"inches": 1, "colour": 2}}, "unknown field 'spare.colour'"),
        ({"spare": []}, "spare must be a table of fields, not []"),
        ({"size": [1.0]}, "size must be a list of 2, not [1.0]"),
        ({"size": [1.0, "wide"]}, "size[1] must be a number, not 'wide'"),
        ({"pairs": [[1]]}, "pairs[0] must be a list of 2, not [1]"),
        ({"pairs": [[1.5, 1]]}, "pairs[0][0] must be a whole number, not 1.5"),
        ({"parts": []}, "parts must be a table, not []"),
        ({"parts": {"a": {"inches": None}}}, "parts['a'].inches must be a number, not None"),
        ({"parts": {3: {"inches": 1}}}, "parts must be a table, not {3: {'inches': 1}}"),
        ({"wheel_count": 3}, "unknown field 'wheel_count'"),
        ({"a\nb": 3}, r"unknown field 'a\nb'"),
        ({"name": ["x" * 100]}, f"name must be text, not ['{'x' * 57}…"),
    ],
)
def test_what_is_wrong_is_said_with_its_path(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=r"\A[^\n]*\Z") as caught:
        records.read(Car, WHOLE | change)
    assert str(caught.value) == said


@pytest.mark.parametrize("value", [None, [], "text", 3])
def test_what_is_not_a_record_at_all(value: Any) -> None:
    with pytest.raises(ValueError, match="it must be a table of fields"):
        records.read(Car, value)


def test_surplus_fields_are_passed_over_where_that_is_wanted() -> None:
    assert records.read(Wheel, {"inches": 1, "colour": "red"}, surplus=True) == Wheel(1)
    with pytest.raises(ValueError, match=r"spare\.colour"):
        records.read(Car, WHOLE | {"spare": {"inches": 1, "colour": 2}}, surplus=True)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*WHOLE, "other"]), JSON))
def test_whatever_is_read_is_a_record_or_one_line(change: dict[str, Any]) -> None:
    found = taken(WHOLE | change)
    if isinstance(found, str):
        assert "\n" not in found
    else:
        assert isinstance(found.doors, int)
        assert all(isinstance(wheel, Wheel) for wheel in found.wheels)


def taken(value: dict[str, Any]) -> Car | str:
    try:
        return records.read(Car, value)
    except ValueError as error:
        return str(error)
