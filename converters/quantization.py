"""fp32 TFLite files in fewer bits, by AI Edge Quantizer: without TensorFlow, whatever made the file."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Tensors = Iterable[NDArray[np.float32]]


def fp16(content: bytes) -> bytes:
    """float16 weights, made floats again before use."""
    from ai_edge_quantizer.recipe import AlgorithmName, TFLOperationName

    recipe = _recipe()
    recipe.add_weight_only_config(
        regex=".*",
        operation_name=TFLOperationName.ALL_SUPPORTED,
        num_bits=16,
        algorithm_key=AlgorithmName.FLOAT_CASTING,
    )
    return _quantized(content, recipe)


def dynamic(content: bytes) -> bytes:
    """int8 weights a channel; activations are quantized as they come."""
    from ai_edge_quantizer.recipe import TFLOperationName

    recipe = _recipe()
    recipe.add_dynamic_config(regex=".*", operation_name=TFLOperationName.ALL_SUPPORTED, num_bits=8)
    return _quantized(content, recipe)


def weight_only(content: bytes) -> bytes:
    """int8 weights a channel, dequantized before use.

    TensorFlow's own dynamic range is as small, but slower than fp32 where kernels for it are missing. Depthwise
    convolutions stay floats: they are few bytes, and cost half of the answers that change (MobileNet V1 0.25: 10 % of
    the best classes change without them, 15 % with).
    """
    from ai_edge_quantizer.recipe import TFLOperationName

    recipe = _recipe()
    for operation in (TFLOperationName.CONV_2D, TFLOperationName.FULLY_CONNECTED):
        recipe.add_weight_only_config(regex=".*", operation_name=operation, num_bits=8)
    return _quantized(content, recipe)


def int8(content: bytes, calibration: Tensors, io: str) -> bytes:
    """All of it in int8: weights a channel, activations by what `calibration` makes of them, a picture a tensor.

    io: what the file takes and gives, `int8`, `uint8` or `float`. Operators without an int8 kernel stay floats.
    """
    from ai_edge_quantizer.recipe import TFLOperationName

    recipe = _recipe()
    recipe.add_static_config(
        regex=".*", operation_name=TFLOperationName.ALL_SUPPORTED, activation_num_bits=8, weight_num_bits=8
    )
    for end in (TFLOperationName.INPUT, TFLOperationName.OUTPUT):
        _END[io](recipe, end)
    return _quantized(content, recipe, calibration)


def _float_end(recipe: Any, end: Any) -> None:
    from ai_edge_quantizer.recipe import AlgorithmName

    recipe.add_quantization_config(regex=".*", operation_name=end, algorithm_key=AlgorithmName.NO_QUANTIZE)


def _uint8_end(recipe: Any, end: Any) -> None:
    from ai_edge_quantizer.qtyping import (
        ComputePrecision,
        OpQuantizationConfig,
        QuantGranularity,
        TensorDataType,
        TensorQuantizationConfig,
    )

    bytes_ = TensorQuantizationConfig(8, False, QuantGranularity.TENSORWISE, TensorDataType.UINT)
    weights = TensorQuantizationConfig(8, True, QuantGranularity.CHANNELWISE, TensorDataType.INT)
    config = OpQuantizationConfig(bytes_, weights, ComputePrecision.INTEGER, False)
    recipe.add_quantization_config(regex=".*", operation_name=end, op_config=config)


_END = {"int8": lambda recipe, end: None, "uint8": _uint8_end, "float": _float_end}


def _recipe() -> Any:
    from ai_edge_quantizer import recipe_manager

    return recipe_manager.RecipeManager()


def _quantized(content: bytes, recipe: Any, calibration: Tensors = ()) -> bytes:
    from ai_edge_quantizer import quantizer

    work = quantizer.Quantizer(content, recipe.get_quantization_recipe())
    ranges = _ranges(content, recipe, calibration) if calibration else None
    quantized = work.quantize(ranges, enable_progress_bar=False, enable_progress_report=False)
    return bytes(quantized.quantized_model or b"")


def _ranges(content: bytes, recipe: Any, calibration: Tensors) -> Any:
    """Of every activation the smallest and the largest value.

    The quantizer's own choice, an average that forgets, cuts off a rare class's score: of MobileNet V1 0.25, in the
    tests, 64 % of the best classes stay by it, and 84 % by these.
    """
    from ai_edge_quantizer import calibrator
    from ai_edge_quantizer.utils import qsv_utils

    seen = calibrator.Calibrator(content, num_threads=os.cpu_count() or 1, qsv_update_func=qsv_utils.min_max_update)
    seen.calibrate(_named(content, calibration), recipe)
    return seen.get_model_qsvs()


def _named(content: bytes, calibration: Tensors) -> dict[str, list[dict[str, NDArray[np.float32]]]]:
    """The tensors under the names of the file's signature and of its input."""
    from ai_edge_litert.interpreter import Interpreter

    ((signature, ends),) = Interpreter(model_content=content).get_signature_list().items()
    (name,) = ends["inputs"]
    return {signature: [{name: tensor} for tensor in calibration]}
