"""A converted file against the network that it is from: the row of the table, and why it is not good enough."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ondevice.converters import check, layers
from ondevice.converters.job import ConversionJob, ConversionResult
from ondevice.converters.material import Checked
from ondevice.converters.operators import Operators
from ondevice.converters.sources.source import Outputs, Source
from ondevice.errors import ConvertError, ModelError
from ondevice.runtime import Model

# Looking at every layer takes as long as dozens of inferences; where a file is broken, the first picture shows it.
_LOOKED_INTO = 4


class Inspection:
    """Compares the files of one job with their source, on the same pictures."""

    def __init__(self, job: ConversionJob, source: Source, checked: Checked) -> None:
        self._job, self._source, self._checked = job, source, checked
        self._answers = source.predict(checked.images)

    def of_source(self) -> ConversionResult:
        """The row of the source itself."""
        truth, n = self._checked.truth, len(self._checked.images)
        top1 = None if truth is None else float((self._answers.argmax(axis=1) == truth).mean())
        parameters = self._source.parameters
        return ConversionResult(self._job.stem, "source", parameters=parameters, n=n, agreement=1.0, top1=top1)

    def of_file(self, precision: str, content: bytes, fp32: Callable[[], bytes]) -> ConversionResult:
        """The row of a file; fp32: makes the file to find with where it drifts away first."""
        ours, operators = self._outputs(precision, content)
        compared = check.compare(ours, self._answers)
        of_spread = self._error_of_spread(content) if self._has_random_weights else None
        failed = check.failure(precision, compared, of_spread)
        if failed and precision != "fp32":
            images = self._checked.images[:_LOOKED_INTO]
            where = layers.first_growth(fp32(), content, self._source.input, images)
            failed += f"; {where}" if where else ""
        row = ConversionResult(
            self._job.stem, precision, str(self._job.path(precision)), len(content), self._source.parameters,
            len(self._checked.images), *compared, error_of_spread=of_spread, failed=failed,
            verdict="failed" if failed else check.verdict(precision, compared, of_spread, self._checked.is_noise),
            transposes=operators.transposes,
        )  # fmt: skip
        if precision == "int8":
            row = replace(row, float_operators=operators.floats, float_kinds=operators.kinds)
        truth = self._checked.truth
        return row if truth is None else _with_accuracy(row, ours, self._answers, truth)

    def _outputs(self, precision: str, content: bytes) -> tuple[Outputs, Operators]:
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(content)
            file.flush()
            try:
                source = self._source
                given = check.outputs(Model(file.name), source.input, self._checked.images, source.meaning)
                return given, Operators.read(Path(file.name))
            except ModelError as error:
                said = str(error).removeprefix(f"{file.name}: ")
                raise ConvertError(f"{self._job.stem}: its {precision} file cannot be used: {said}") from error

    @property
    def _has_random_weights(self) -> bool:
        return self._job.weights == "none" and not Path(self._job.source).exists()

    def _error_of_spread(self, content: bytes) -> float:
        images = self._checked.images[:_LOOKED_INTO]
        return check.error_of_spread(layers.logits(content, self._source.input, images), self._source.logits(images))


def _with_accuracy(row: ConversionResult, ours: Outputs, source: Outputs, truth: NDArray[np.int64]) -> ConversionResult:
    right, source_right = (outputs.argmax(axis=1) == truth for outputs in (ours, source))
    value, low, high = check.difference(right, source_right)
    return replace(row, top1=float(right.mean()), top1_difference=value, difference_low=low, difference_high=high)
