"""In what numbers a network computes, as far as its file's tensors show it."""

from __future__ import annotations

from ondevice.models.graph import Graph

_QUANTIZED = ("int8", "uint8")


def of(found: Graph) -> str:
    """One of fp32, fp16, dynamic, int8 and uint8.

    What it computes counts, not what it takes: a network of whole numbers may be given floats, and the other way round.
    """
    first = found.subgraphs[0]
    ends = {*first.inputs, *first.outputs}
    inner = {t.dtype for n, t in enumerate(first.tensors) if not t.constant and t.scales and n not in ends}
    if computed := inner & {*_QUANTIZED}:
        given = [first.tensors[n].dtype for n in first.inputs if first.tensors[n].scales]
        return next((dtype for dtype in given if dtype in _QUANTIZED), min(computed))
    weights = {t.dtype for t in first.tensors if t.constant and (t.scales or t.dtype == "float16")}
    if "float16" in weights:
        return "fp16"
    return "dynamic" if weights & {*_QUANTIZED} else "fp32"
