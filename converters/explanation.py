"""What TensorFlow and the converters raise, in one line that says what to do: they raise whole graphs."""

from __future__ import annotations

import re
import tempfile

from ondevice.converters.job import ConversionJob
from ondevice.converters.sources.failure import first_line
from ondevice.errors import ConvertError
from ondevice.models import files

# MLIR names the operators that TFLite has not, for each place in the graph, and below them the tensors that they take.
_OPERATOR = re.compile(r"'(tf\.\w+)' op is neither a custom op nor a flex op")
# LiteRT Torch names the first of PyTorch's operations that it has nothing for.
_LOWERING = re.compile(r"Lowering not found: aten\.(\w+)")
_DETAIL = re.compile(r"^\s*(tf\.\w+)\((.*?)\) -> ", re.M)
_ELEMENT = re.compile(r"[x<]([a-z]+\d+)>")
# Floats that TFLite stores weights in, or casts, and computes nothing with.
_FLOATS = {"f16": "float16", "bf16": "bfloat16", "f64": "float64"}
# What layers of augmentation are made of.
_AUGMENTATION = re.compile(r"Random|ImageProjectiveTransform")
# A line has room for so many names.
_NAMED = 4
# How much of a stranger's line is told; the log has the rest.
_SHOWN = 200


def explained(error: Exception, job: ConversionJob, precision: str) -> ConvertError:
    """Why the network of a job could not be converted to a precision."""
    if lacking := _LOWERING.search(str(error)):
        return ConvertError(f"{job.stem}: LiteRT Torch has no {lacking[1]}: replace the layers that use it")
    operators = sorted(set(_OPERATOR.findall(str(error))))
    if not operators:
        return ConvertError(f"{job.stem}: cannot be converted to {precision}: {in_short(error)}")
    named = ", ".join(operators[:_NAMED])
    more = f" and {len(operators) - _NAMED} more" if len(operators) > _NAMED else ""
    # Of Keras's own files the layers are known, and these two things are mended.
    otherwise = "give its .keras file, or " if files.expanded(job.source).is_dir() else ""
    return ConvertError(f"{job.stem}: TFLite has no {named}{more}{_what_to_do(operators, str(error), otherwise)}")


def in_short(error: Exception) -> str:
    """The line of an error that says something, without the name of a temporary file, cut where it is long."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    # Code that is traced raises its whole way to the line that failed.
    said = lines[-1] if lines and lines[0] == "in user code:" else first_line(error)
    said = re.sub(rf"{re.escape(tempfile.gettempdir())}/\S*[^\s:,;.'\")]", "a temporary file", said)
    return said if len(said) <= _SHOWN else f"{said[: _SHOWN - 3]}..."


def _what_to_do(operators: list[str], said: str, otherwise: str) -> str:
    elements = {element for name, taken in _DETAIL.findall(said) if name in operators for element in _floats(taken)}
    if elements and elements <= set(_FLOATS):
        kinds = " or ".join(_FLOATS[element] for element in sorted(elements))
        return f" in {kinds}: {otherwise}save the network in float32"
    if any(_AUGMENTATION.search(operator) for operator in operators):
        return f": layers of augmentation? {otherwise}save the network without them"
    return f": replace the layers that use {'it' if len(operators) == 1 else 'them'}"


def _floats(taken: str) -> list[str]:
    return [element for element in _ELEMENT.findall(taken) if "f" in element]
