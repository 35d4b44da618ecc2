"""What converting made of the operators, and what of it costs time on a device: transposes, floats in int8 files."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ondevice.models import graph
from ondevice.models.graph import Subgraph

# Operators that only change how values are stored.
_STORAGE = ("QUANTIZE", "DEQUANTIZE")


class Operators(NamedTuple):
    """How many transposes a file has, and how many operators that compute in floats, with their kinds in words."""

    transposes: int
    floats: int
    kinds: str

    @classmethod
    def read(cls, path: Path) -> Operators:
        """Those of a .tflite file, read from it without running it. Raises ModelError."""
        main = graph.read(path).subgraphs[0]
        in_floats = Counter(operator.name for operator in main.operators if _gives_floats(main, operator))
        kinds = ", ".join(f"{count} {name}" for name, count in in_floats.most_common())
        transposes = sum(operator.name == "TRANSPOSE" for operator in main.operators)
        return cls(transposes, in_floats.total(), kinds)


def _gives_floats(main: Subgraph, operator: graph.Operator) -> bool:
    given = {main.tensors[number].dtype for number in operator.outputs if number >= 0}
    return operator.name not in _STORAGE and "float32" in given
