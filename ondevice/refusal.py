"""Why a runtime refuses a .tflite file, in one line that says what to do; else in the runtime's own words."""

from __future__ import annotations

import re
from pathlib import Path

from ondevice import words
from ondevice.errors import ModelError
from ondevice.models import graph

# A kernel's message can have a kilobyte; what is wrong stands at its beginning, and a line has about that room.
_LONGEST = 160
# Of a file's operators so many are named.
_NAMED = 3
# TensorFlow's own operators are custom ones called FlexErf and the like.
_FLEX = "Flex"
_EDGE_TPU = "edgetpu-custom-op"
_CUSTOM = re.compile(r"Encountered unresolved custom op: (.+?)\.?(?:\n|$)")
_NEWER = re.compile(
    r"Didn't find op for builtin opcode '(?P<name>\w+)' version '\d+'|Op builtin_code out of range: (?P<number>\d+)"
)


def in_words(path: Path, runtime: str, distribution: str, error: BaseException) -> str:
    """What to say of the error of a runtime that was to load the file. distribution: what pip calls that runtime."""
    said = str(error)
    try:
        operators = [o.name for subgraph in graph.read(path).subgraphs for o in subgraph.operators if o.custom]
    except ModelError as damaged:
        return str(damaged)
    flex = sorted({name for name in operators if name.startswith(_FLEX)})
    if flex:
        return (
            f"{path}: {runtime} has none of TensorFlow's own operators ({_listed(flex)}): convert the network without "
            "SELECT_TF_OPS, or run it in TensorFlow 2.19 or older (--runtime tensorflow)"
        )
    if _EDGE_TPU in operators:
        return f"{path}: compiled for Coral's Edge TPU: give the .tflite file that it was compiled from"
    if custom := _CUSTOM.search(said):
        return (
            f"{path}: its operator {words.shown(custom[1])} is custom, and {runtime} does not have it: convert the "
            "network without that operator (allow_custom_ops=False)"
        )
    if newer := _NEWER.search(said):
        return (
            f"{path}: its operator {newer['name'] or newer['number']} is newer than {runtime}: "
            f"`pip install --upgrade {distribution}`, or convert the network with an older TensorFlow"
        )
    return f"{path}: {runtime} cannot load it: {shortened(error)}"


def shortened(error: BaseException) -> str:
    """The first line of a runtime's message that says something, and of a long one its beginning."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = lines[0] if lines else type(error).__name__
    return first if len(first) <= _LONGEST else f"{first[: _LONGEST - 3]}..."


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(map(words.shown, names[:_NAMED])) + more
