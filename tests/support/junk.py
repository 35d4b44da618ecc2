"""Strategies for what a stranger may say: any JSON at all, and good JSON with one thing wrong in it."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

Path = tuple[str | int, ...]

# What has been a mistake to read before: too long to be shown, no number, not text, nested.
_AWKWARD: tuple[Any, ...] = (
    1e300, math.inf, -math.inf, math.nan, 10**400, -(10**400), 2**63, "\ud800", "a\nb", [[]], [None], {"a": {}},
    [[[[[[[[1]]]]]]]],
)  # fmt: skip
_PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
_NESTED = st.lists(_PLAIN, max_size=3) | st.dictionaries(st.text(max_size=5), _PLAIN, max_size=3)
# Whatever a server may put in any place of its JSON.
ANYTHING: st.SearchStrategy[Any] = st.sampled_from(_AWKWARD) | _PLAIN | _NESTED


@st.composite
def spoiled(draw: st.DrawFn, good: Any) -> Any:
    """Copies of `good`, in each of which one thing, at any depth, is left out or is something else."""
    changed = copy.deepcopy(good)
    *way, last = draw(st.sampled_from(list(_places(good))))
    holder = changed
    for key in way:
        holder = holder[key]
    if draw(st.booleans()):
        del holder[last]
    else:
        holder[last] = draw(ANYTHING)
    return changed


def _places(value: Any) -> Iterator[Path]:
    """The ways to all that stands in it: of a list's elements the first, for the others are like it."""
    keys = list(value) if isinstance(value, dict) else [0] if isinstance(value, list) and value else []
    for key in keys:
        yield (key,)
        yield from ((key, *rest) for rest in _places(value[key]))
