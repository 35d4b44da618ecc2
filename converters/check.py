"""Is a converted file still the same network? Its outputs against the source's, picture by picture."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ondevice.converters.pictures import Images
from ondevice.models.card import Input
from ondevice.models.output import Meaning
from ondevice.preprocess import Preprocessor
from ondevice.ranking import two_classes
from ondevice.runtime import Model

Outputs = NDArray[np.float32]

# What a file must reach: the share of pictures with the source's best class. int8 puts the second of two close classes
# first now and then, in small networks more often; a broken conversion agrees on a few pictures in a hundred.
AGREEMENT = {"fp32": 1.0, "fp16": 0.99, "dynamic": 0.8, "weight_only": 0.8, "int8": 0.75}
# And with random weights, where one class wins every picture: the error of the logits over their spread.
SPREAD = {"fp32": 1e-3, "fp16": 0.02, "dynamic": 0.25, "weight_only": 0.25, "int8": 0.5}


class Compared(NamedTuple):
    """Outputs against the source's: see `ondevice.converters.job.ConversionResult`."""

    agreement: float
    mean_error: float
    worst_error: float


class Difference(NamedTuple):
    """A paired difference of two accuracies, with its 95 % interval."""

    value: float
    low: float
    high: float


def outputs(model: Model, wanted: Input, images: Images, meaning: Meaning = Meaning.SCORES) -> Outputs:
    """The file's scores [n, classes] as real numbers, each picture fed as the runner does."""
    prepare = Preprocessor(wanted, model.input, model.channels_first).tensor
    given = np.stack([model.dequantize(model.invoke(prepare(image))) for image in images])
    return two_classes(given, meaning) if meaning.of_two else given


def compare(ours: Outputs, source: Outputs) -> Compared:
    """Agreement of the best class, and absolute errors of the outputs."""
    errors = np.abs(ours - source)
    agreement = float((ours.argmax(axis=1) == source.argmax(axis=1)).mean())
    return Compared(agreement, float(errors.mean()), float(errors.max()))


def difference(ours: NDArray[np.bool_], source: NDArray[np.bool_], z: float = 1.959964) -> Difference:
    """Top-1 of the file minus that of the source on the same pictures; right or wrong, [n] each.

    The interval is Wald's for paired proportions: only pictures on which the two differ count (Agresti 2002, 10.1.1).
    """
    n = len(ours)
    gained, lost = int((ours & ~source).sum()), int((~ours & source).sum())
    value = (gained - lost) / n
    half = z * math.sqrt(max(gained + lost - (gained - lost) ** 2 / n, 0.0)) / n
    return Difference(value, value - half, value + half)


def error_of_spread(logits: Outputs, source: Outputs) -> float:
    """Root mean square error of centred logits over the deviation of the source's, over all pictures.

    A softmax hides a common shift, so logits are compared with each picture's mean taken out; of one output, with the
    mean over the pictures.
    """
    over = 1 if source.shape[1] > 1 else 0
    a, b = (values.astype(np.float64) - values.mean(axis=over, keepdims=True) for values in (logits, source))
    return float(np.sqrt(((a - b) ** 2).mean()) / max(b.std(), 1e-12))


def failure(precision: str, compared: Compared, of_spread: float | None) -> str:
    """Why a file of this precision is not good enough; empty where it is. of_spread: with random weights."""
    if not math.isfinite(compared.mean_error):
        return "its outputs, or the source's, are not numbers (NaN or infinite)"
    if of_spread is not None:
        limit = SPREAD[precision]
        return "" if of_spread <= limit else f"its logits are off by {of_spread:.2g} of their spread, over {limit:g}"
    limit = AGREEMENT[precision]
    if compared.agreement >= limit:
        return ""
    return f"it agrees with the source on {compared.agreement:.1%} of the pictures, under {limit:.0%}"


def verdict(precision: str, compared: Compared, of_spread: float | None, on_noise: bool) -> str:
    """A word on a file that is good enough, and on what that rests, where it is not the answers to pictures."""
    if of_spread is not None and compared.agreement < AGREEMENT[precision]:
        return "ok by logits"
    return "ok on noise" if on_noise and of_spread is None else "ok"


def interpreter_with_tensors(content: bytes) -> Any:
    """An interpreter that keeps every tensor for looking at, on the kernels without delegates."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=content,
        experimental_preserve_all_tensors=True,
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
    )
    interpreter.allocate_tensors()
    return interpreter
