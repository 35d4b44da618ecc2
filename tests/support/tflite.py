"""Small .tflite files, made operator by operator: a colour classifier whose answers can be told beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from numpy.typing import NDArray

TYPES = {"float32": 0, "float16": 1, "int32": 2, "uint8": 3, "int64": 4, "int8": 9}


class Network:
    """A graph in the making: tensors and operators, by number."""

    def __init__(self) -> None:
        self.tensors: list[Any] = []
        self.operators: list[Any] = []
        self.codes: list[str] = []
        self.buffers = [schema.BufferT()]

    def tensor(
        self,
        shape: Sequence[int],
        dtype: str = "float32",
        name: str = "",
        quantization: tuple[float, int] | None = None,
        content: NDArray[Any] | None = None,
    ) -> int:
        """A tensor; sizes of -1 are free. content: makes it a constant."""
        made = schema.TensorT()
        made.shape = [max(size, 1) for size in shape]
        made.shapeSignature = list(shape) if -1 in shape else None
        made.type, made.name = TYPES[dtype], (name or f"t{len(self.tensors)}").encode()
        if quantization is not None:
            made.quantization = schema.QuantizationParametersT()
            made.quantization.scale, made.quantization.zeroPoint = [quantization[0]], [quantization[1]]
        if content is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(np.ascontiguousarray(content, dtype).tobytes(), np.uint8)
            made.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(made)
        return len(self.tensors) - 1

    def constant(self, values: Any, dtype: str = "float32") -> int:
        content = np.asarray(values, dtype)
        return self.tensor(content.shape, dtype, content=content)

    def operator(self, name: str, inputs: Sequence[int], outputs: Sequence[int], **options: Any) -> int:
        """An operator by its name in the schema; gives its first output."""
        made = schema.OperatorT()
        if name not in self.codes:
            self.codes.append(name)
        made.opcodeIndex, made.inputs, made.outputs = self.codes.index(name), list(inputs), list(outputs)
        kind = options.pop("kind", None)
        if kind is not None:
            made.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            made.builtinOptions = getattr(schema, f"{kind}T")()
            for field, value in options.items():
                setattr(made.builtinOptions, field, value)
        self.operators.append(made)
        return outputs[0]

    def write(self, path: Path, inputs: Sequence[int], outputs: Sequence[int]) -> Path:
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = list(inputs), list(outputs)
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers, model.operatorCodes = 3, [graph], self.buffers, []
        for name in self.codes:
            code = schema.OperatorCodeT()
            code.builtinCode = getattr(schema.BuiltinOperator, name)
            code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
            model.operatorCodes.append(code)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        path.write_bytes(bytes(builder.Output()))
        return path


def colours(
    path: Path,
    shape: Sequence[int] = (1, 8, 8, 3),
    weights: Any = None,
    bias: Any = None,
    scaling: Sequence[tuple[str, Any]] = (),
    end: str = "SOFTMAX",
    dtype: str = "float32",
    quantization: tuple[float, int] | None = None,
) -> Path:
    """A network that averages each channel of its picture; weights [classes, channels] make scores of that.

    Unless weights are given, class i has the score of 10 x channel i. scaling: operators with their constants, such as
    ("MUL", 1 / 255), before all else. end: SOFTMAX, LOGISTIC or nothing. dtype, quantization: the input's.
    """
    net = Network()
    channels = shape[3] if len(shape) == 4 else 1
    weights = np.asarray(10 * np.eye(channels) if weights is None else weights, np.float32)
    bias = np.zeros(len(weights)) if bias is None else np.asarray(bias)
    at = given = net.tensor(shape, dtype, "picture", quantization)
    if dtype != "float32":
        kind, options = ("DEQUANTIZE", {}) if quantization else ("CAST", {"kind": "CastOptions"})
        at = net.operator(kind, [at], [net.tensor(shape)], **options)
    for name, constant in scaling:
        options = {"kind": f"{name.title()}Options"}
        at = net.operator(name, [at, net.constant(constant)], [net.tensor(shape)], **options)
    axes = net.constant([1, 2], "int32")
    kept = (1, channels) if len(shape) == 4 else (1,)
    at = net.operator("MEAN", [at, axes], [net.tensor(kept)], kind="ReducerOptions", keepDims=False)
    if len(shape) == 3:
        at = net.operator("RESHAPE", [at, net.constant([1, 1], "int32")], [net.tensor((1, 1))], kind="ReshapeOptions")
    scores = net.tensor((1, len(weights)), name="scores")
    at = net.operator(
        "FULLY_CONNECTED", [at, net.constant(weights), net.constant(bias)], [scores], kind="FullyConnectedOptions"
    )
    if end:
        options = {"kind": "SoftmaxOptions", "beta": 1.0} if end == "SOFTMAX" else {}
        at = net.operator(end, [at], [net.tensor((1, len(weights)), name="probabilities")], **options)
    return net.write(path, [given], [at])
