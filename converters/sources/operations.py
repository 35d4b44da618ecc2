"""What operations of TensorFlow do besides computing: those that touch files, the network or Python are refused.

A SavedModel is a program. TensorFlow runs parts of it when it is loaded, others when it is asked or converted.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

# Operations that TensorFlow calls stateful, but whose state is the network's own: variables, chance, lists, tables of
# words, and calls of functions, which are looked at as well. Checkpoints are read when a network is loaded.
_KNOWN = re.compile(
    r"_?(?:VarHandles?|ReadVariables?|Assign(?:Add|Sub)?Variable)Op|VarIsInitializedOp|Variable(?:V2|Shape)?"
    r"|TemporaryVariable|DestroyResourceOp|DisableCopyOnRead|GuaranteeConst|Empty|Resource(?:Sparse)?Apply\w+"
    r"|Resource(?:Gather|Scatter)\w*|ResourceStridedSliceAssign|ResourceCountUpTo"
    r"|Random(?:Uniform|UniformInt|StandardNormal|Shuffle|Gamma|Poisson|PoissonV2|Crop)|Multinomial"
    r"|(?:Parameterized)?TruncatedNormal|Stateful(?:Uniform|Standard|Truncated|Random)\w*|StatelessRandomGetAlg"
    r"|NonDeterministicInts|Rng(?:Skip|ReadAndSkip)|SampleDistortedBoundingBox(?:V2)?"
    r"|StatefulPartitionedCall|_?(?:If|While)|Case|Assert|CheckNumerics(?:V2)?|Print|PrintV2|Timestamp|DeviceIndex"
    r"|_(?:Device)?(?:Arg|Retval)|XlaCallModule|TensorArray\w*|Stack(?:V2|Push|PushV2|Pop|PopV2|Close|CloseV2)?"
    r"|(?:Anonymous)?(?:Mutable)?(?:Dense)?HashTable(?:OfTensors)?(?:V2)?|LookupTable\w+|Initialize(?:Table\w*)V2"
    r"|CudnnRNN\w*|Restore(?:V2|Slice)?"
)
# Operations that are not called stateful, and yet do more than compute.
_MORE = re.compile(
    r"ReadFile|MatchingFiles|GenerateVocabRemapping|ImmutableConst|Debug\w+|(?:De|En)codeProto\w*|PyFuncStateless"
    r"|XlaCustomCall\w*|RegisterDataset\w*|(?:\w*Snapshot|Cache)\w*Dataset\w*|TPU\w+Call|Abort"
)
# What writes a network's checkpoint, which every SavedModel can, and none does when it is loaded or asked.
_SAVING = re.compile(r"Save(?:V2|Slices)?|MergeV2Checkpoints")
# Where PrintV2 may write: to files as well.
_TO_FILE = b"file:"
# What of a graph is run without being asked: TensorFlow's names for it.
_FIRST = ("saved_model_main_op", "legacy_init_op")


def harmful(model: Any, is_stateful: Callable[[str], bool]) -> str:
    """The name of an operation of a SavedModel (its message) that does more than compute; empty where none does.

    is_stateful: whether TensorFlow calls an operation so; of those that it does not know too.
    """
    for graph in model.meta_graphs:
        for node in _nodes(graph):
            if not _SAVING.fullmatch(node.op) and not _computes(node, is_stateful):
                return str(node.op)
        for node in _reached(graph):
            if _SAVING.fullmatch(node.op):
                return str(node.op)
    return ""


def _computes(node: Any, is_stateful: Callable[[str], bool]) -> bool:
    if node.op == "PrintV2" and _TO_FILE in node.attr["output_stream"].s:
        return False
    if _MORE.fullmatch(node.op):
        return False
    return bool(_KNOWN.fullmatch(node.op)) or not is_stateful(node.op)


def _nodes(graph: Any) -> Iterable[Any]:
    yield from graph.graph_def.node
    for function in graph.graph_def.library.function:
        yield from function.node_def


def _reached(graph: Any) -> Iterable[Any]:
    """The nodes that loading the graph, or calling one of its functions, may run; each once."""
    top = {node.name: node for node in graph.graph_def.node}
    functions = {function.signature.name: function.node_def for function in graph.graph_def.library.function}
    nodes, calls = list(_ends(graph)), list(graph.object_graph_def.concrete_functions)
    while nodes or calls:
        if nodes:
            name = nodes.pop()
            found = [top.pop(name)] if name in top else []
            nodes += [_named(given) for node in found for given in node.input]
        else:
            found = functions.pop(calls.pop(), [])
        for node in found:
            yield node
            calls += _called(node)


def _ends(graph: Any) -> Iterable[str]:
    """The nodes at the top of a graph that are asked for: signatures' outputs, and what is run when it is loaded."""
    for signature in graph.signature_def.values():
        for tensor in signature.outputs.values():
            parts = (tensor.name, *(getattr(tensor.coo_sparse, part) for part in _SPARSE))
            yield from (_named(part) for part in (*parts, *(c.name for c in tensor.composite_tensor.components)))
    yield _named(graph.saver_def.restore_op_name)
    for first in _FIRST:
        yield from map(_named, graph.collection_def[first].node_list.value if first in graph.collection_def else ())


# The three tensors that a sparse one is made of.
_SPARSE = ("values_tensor_name", "indices_tensor_name", "dense_shape_tensor_name")


def _called(node: Any) -> Iterable[str]:
    """The functions that a node may call: by its attributes, or as its operation."""
    yield node.op
    for value in node.attr.values():
        if value.func.name:
            yield value.func.name
        yield from (function.name for function in value.list.func)


def _named(tensor: str) -> str:
    """The node of a tensor or of a control input."""
    return tensor.removeprefix("^").split(":")[0]
