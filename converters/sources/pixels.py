"""A network that takes pixels as uint8, as one that takes the same numbers as floats.

TFLite's converter would keep the casts between them, and no accelerator for int8 runs what stands behind a cast.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ondevice.converters.export import tensorflow

Function = Callable[[Any], Any]


def as_floats(function: Function, shape: tuple[int, ...]) -> Function:
    """The function of a uint8 tensor of `shape`, of a float32 one: without the casts to floats that it begins with.

    Where it does other things with the integers, they are cast before it.
    """
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    tf = tensorflow()
    spec = tf.TensorSpec(shape, tf.uint8)
    frozen = convert_variables_to_constants_v2(tf.function(function, input_signature=[spec]).get_concrete_function())
    graph, (taken,), (given,) = frozen.graph.as_graph_def(), frozen.inputs, frozen.outputs
    if not _takes_floats(graph, taken.op.name):
        return lambda tensor: function(tf.cast(tensor, tf.uint8))
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph, name=""), [])
    pruned: Function = wrapped.prune(taken.name, given.name)
    return pruned


def _takes_floats(graph: Any, entry: str) -> bool:
    """Have a graph's input be floats, if all that it does with it is to cast it to some: those casts do nothing then.

    Gives whether that is so; the graph is changed only then.
    """
    floats = {tensorflow().dtypes.as_dtype(name).as_datatype_enum for name in ("float32", "float16", "bfloat16")}
    passed = _passed_on(graph, entry)
    casts = [node for node in graph.node if node.name not in passed and _read(node) & passed]
    if not all(node.op == "Cast" and node.attr["DstT"].type in floats for node in casts):
        return False
    float32 = tensorflow().float32.as_datatype_enum
    for node in graph.node:
        if node.name in passed:
            node.attr["dtype" if node.op == "Placeholder" else "T"].type = float32
    for node in casts:
        node.attr["SrcT"].type = float32
    return True


def _passed_on(graph: Any, entry: str) -> set[str]:
    """The nodes that hold the input as it is: itself, and identities of it."""
    passed, before = {entry}, 0
    while len(passed) > before:
        before = len(passed)
        passed |= {node.name for node in graph.node if node.op == "Identity" and _read(node) <= passed}
    return passed


def _read(node: Any) -> set[str]:
    """The names of the nodes that a node reads, or waits for."""
    return {name.removeprefix("^").split(":")[0] for name in node.input}
