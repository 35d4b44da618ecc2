"""The schema's numbers, against those that LiteRT's own reader has."""

from __future__ import annotations

from typing import Any

import pytest

from ondevice.models.graph import OperatorOptions
from ondevice.models.schema import ACTIVATIONS, DTYPES, OPERATORS, OPTIONS


@pytest.fixture(scope="module")
def theirs() -> Any:
    pytest.importorskip("flatbuffers")
    return pytest.importorskip("ai_edge_litert.schema_py_generated")


def numbers(kind: type) -> dict[str, int]:
    return {name: number for name, number in vars(kind).items() if name.isupper()}


@pytest.mark.parametrize(
    ("names", "kind"), [(OPERATORS, "BuiltinOperator"), (DTYPES, "TensorType"), (ACTIVATIONS, "ActivationFunctionType")]
)
def test_names_stand_at_their_numbers(names: tuple[str, ...], kind: str, theirs: Any) -> None:
    known = numbers(getattr(theirs, kind))
    assert {name.upper(): number for number, name in enumerate(names)}.items() <= known.items()
    assert len(names) > len(known) - 20, "a newer schema has a few more"


TABLES = {"AVERAGE_POOL_2D": "Pool2D", "MAX_POOL_2D": "Pool2D", "L2_POOL_2D": "Pool2D", "CONV_2D": "Conv2D"}
TABLES |= {"DEPTHWISE_CONV_2D": "DepthwiseConv2D", "FULLY_CONNECTED": "FullyConnected"}
METHODS = {"stride": "Stride{}", "dilation": "Dilation{}Factor", "filter": "Filter{}"}


@pytest.mark.parametrize("name", OPTIONS)
def test_options_are_read_where_they_stand(name: str, theirs: Any) -> None:
    table = TABLES.get(name) or name.title().replace("_", "")
    ours = OPTIONS[name]
    assert getattr(theirs.BuiltinOptions, f"{table}Options") == ours.table
    fields = [("FusedActivationFunction", ours.activation)]
    for key, field in ours.fields:
        assert key in OperatorOptions._fields
        what, axis = key.split("_")
        side = axis.upper() if what != "filter" else {"h": "Height", "w": "Width"}[axis]
        fields.append((METHODS[what].format(side), field))
    for method, field in fields:
        assert slot_of(getattr(getattr(theirs, f"{table}Options"), method)) == 4 + 2 * field


def slot_of(method: Any) -> int:
    """The offset in the vtable that a generated method looks at."""
    asked: list[int] = []

    class Asked:
        def Offset(self, slot: int) -> int:  # noqa: N802 - the generated code's name
            asked.append(slot)
            return 0

    method(type("Table", (), {"_tab": Asked()})())
    return asked[0]
