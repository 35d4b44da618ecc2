"""The child process of a conversion: takes a Job, sends `result` for the source and each file, `done`, or `error`."""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
import time
import traceback
from dataclasses import asdict, replace
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ondevice import host, records
from ondevice.converters import check, layers, pictures
from ondevice.converters.export import to_tflite
from ondevice.converters.job import RANDOM, Job, Result
from ondevice.converters.pictures import Images
from ondevice.converters.source import Outputs, Source, open_source
from ondevice.errors import ConvertError, OnDeviceError, UsageError
from ondevice.models import files, labels
from ondevice.models.card import Accuracy, Card, Conversion
from ondevice.process import messages
from ondevice.process.messages import Send
from ondevice.runtime import Model
from ondevice.sources import labelled

_NOISE, _LOOKED_INTO = 16, 4
_TOOLS = ("tensorflow", "keras", "ai-edge-quantizer", "ai-edge-litert")
# MLIR names the operators that TFLite has not.
_UNSUPPORTED = re.compile(r"'(tf\.\w+)' op is neither a custom op nor a flex op")


class Checked(NamedTuple):
    """What files are compared with the source on. truth: the classes, [n], where they are known."""

    images: Images
    truth: NDArray[np.int64] | None
    what: str


class _Conversion:
    """One job's network, the pictures, and what the network says of them."""

    def __init__(self, job: Job, send: Send) -> None:
        self.job, self._send = job, send
        self._stage(f"building {job.stem}")
        self.source: Source = open_source(job)
        self.labels = self._labels()
        self._stage(f"{job.stem}: reading pictures")
        self.calibration, calibrated_on = self._calibration()
        self.checked = self._checked(calibrated_on)
        self._stage(f"{job.stem}: asking the source for {len(self.checked.images)} answers")
        self.answers: Outputs = self.source.predict(self.checked.images)
        self._fp32: bytes | None = None

    def run(self) -> None:
        """Convert to every precision; a file that fails its check costs itself alone."""
        self._send("result", **asdict(self._of_source()))
        for precision in self.job.precisions:
            start = time.monotonic()
            self._stage(f"{self.job.stem}: converting to {precision}")
            content = self._content(precision)
            self._stage(f"{self.job.stem}: checking {precision}")
            result = self._result(precision, content)
            if not result.failed:
                self._put_in_place(result, content)
            seconds = time.monotonic() - start
            self._send("result", **{**asdict(result), "seconds": seconds})
        self._send("done", peak_bytes=host.current().memory.peak_bytes())

    def _stage(self, text: str) -> None:
        self._send("stage", text=text)

    def _labels(self) -> labels.Labels:
        if self.job.labels:
            found = labels.load(self.job.labels)
        elif self.source.classes == 1000:
            found = labels.load("imagenet")
        else:
            names = tuple(f"class {i}" for i in range(self.source.classes))
            found = labels.Labels("the numbers of its classes", names)
        if len(found) != self.source.classes:
            raise UsageError(f"{self.job.stem} has {self.source.classes} classes, {found.source} {len(found)} names")
        return found

    def _calibration(self) -> tuple[Images | None, set[str]]:
        job = self.job
        if "int8" not in job.precisions:
            return None, set()
        if job.calibration == RANDOM:
            return pictures.noise(job.calibration_size, self.source.input, job.seed), set()
        paths, skipped = pictures.listed(job.calibration, "--calibration")
        loaded = pictures.load(pictures.even(paths, job.calibration_size, job.seed), self.source.input)
        if skipped + loaded.unreadable:
            self._send("note", text=f"--calibration: {skipped + loaded.unreadable} files that are no pictures skipped")
        return loaded.images, {os.path.realpath(path) for path in loaded.paths}

    def _checked(self, calibrated_on: set[str]) -> Checked:
        folder = self.job.check or (self.job.calibration if self.job.calibration != RANDOM else "")
        if not folder:
            return Checked(pictures.noise(_NOISE, self.source.input, self.job.seed + 1), None, f"{_NOISE} noise images")
        paths, _ = pictures.listed(folder, "--check" if self.job.check else "--calibration")
        rest = [path for path in paths if os.path.realpath(path) not in calibrated_on]
        if not rest:
            raise UsageError(
                f"{folder}: all {len(paths)} pictures are calibrated on, none is left to check with: "
                "give --check DIR, or a smaller --calibration-size"
            )
        loaded = pictures.load(pictures.even(rest, pictures.MAX_CHECKED, self.job.seed), self.source.input)
        truth = self._truth(Path(folder), loaded.paths)
        return Checked(loaded.images, truth, f"{len(loaded.paths)} pictures of {Path(folder).name} not calibrated on")

    def _truth(self, folder: Path, paths: tuple[str, ...]) -> NDArray[np.int64] | None:
        try:
            data = labelled(folder, self.labels)
        except UsageError:  # pictures without labels are good enough for comparing
            return None
        index_of = dict(zip(data.paths, data.truth, strict=True))
        return np.array([index_of[path] for path in paths])

    def _of_source(self) -> Result:
        source, truth = self.source, self.checked.truth
        top1 = None if truth is None else float((self.answers.argmax(axis=1) == truth).mean())
        return Result(
            self.job.stem, "source", parameters=source.parameters, n=len(self.checked.images), agreement=1.0, top1=top1
        )

    def _content(self, precision: str) -> bytes:
        if precision == "fp32" and self._fp32 is not None:
            return self._fp32
        tensors = (
            [] if self.calibration is None else list(pictures.tensors(self.calibration, self.source.input)[:, None])
        )
        try:
            content = to_tflite(self.source.save, precision, tensors, self.job.io)
        except OnDeviceError:
            raise
        except Exception as error:
            raise _explained(error, self.job.stem, precision) from error
        if precision == "fp32":
            self._fp32 = content
        return content

    def _result(self, precision: str, content: bytes) -> Result:
        images, truth = self.checked.images, self.checked.truth
        with tempfile.NamedTemporaryFile(suffix=".tflite") as file:
            file.write(content)
            file.flush()
            ours = check.outputs(Model(file.name), self.source.input, images)
        compared = check.compare(ours, self.answers)
        of_spread = self._of_spread(content) if self.job.weights == "none" and self._named else None
        failed = check.failure(precision, compared, of_spread)
        if failed and precision != "fp32":
            reference = self._content("fp32")
            where = layers.first_growth(reference, content, self.source.input, images[:_LOOKED_INTO])
            failed += f"; {where}" if where else ""
        result = Result(
            self.job.stem, precision, str(self.job.path(precision)), len(content), self.source.parameters, len(images),
            *compared, error_of_spread=of_spread, failed=failed, verdict="failed" if failed else "ok",
        )  # fmt: skip
        return result if truth is None else _with_accuracy(result, ours, self.answers, truth)

    @property
    def _named(self) -> bool:
        return not Path(self.job.source).exists()

    def _of_spread(self, content: bytes) -> float:
        images = self.checked.images[:_LOOKED_INTO]
        return check.error_of_spread(layers.logits(content, self.source.input, images), self.source.logits(images))

    def _put_in_place(self, result: Result, content: bytes) -> None:
        path = Path(result.path)
        bundled = self.labels.source.endswith(("imagenet.txt", "digits.txt"))
        name = Path(self.labels.source).stem if bundled else f"{path.stem}.labels.txt"
        try:
            with files.replacing(path) as out:
                out.write(content)
                out.flush()  # so that a full disk is noticed before the card is there
                if not bundled:
                    with files.replacing(path.parent / name) as lines:
                        lines.write("\n".join([*self.labels.names, ""]).encode())
                self._card(result, content, name).write(path.with_suffix(".toml"))
        except OSError as error:
            raise files.explain(error, path) from error

    def _card(self, result: Result, content: bytes, label_list: str) -> Card:
        job, what = self.job, self.checked.what
        assert result.agreement is not None
        assert result.mean_error is not None
        assert result.worst_error is not None
        return Card(
            name=Path(result.path).stem,
            family=re.split(r"_(?=\d)", job.stem)[0],
            architecture=self.source.architecture,
            precision=result.precision,
            input=self.source.input,
            labels=label_list,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            licence=job.licence,
            source=f"converted from {job.source}",
            accuracy=None if result.top1 is None else Accuracy(round(result.top1, 4), what),
            conversion=Conversion(
                recipe=_recipe(result.precision, job.io),
                weights=_WEIGHTS.get(job.weights) or Path(job.weights).name,
                calibration=self._calibration_in_words(result.precision),
                check=what,
                tools=", ".join(f"{tool} {metadata.version(tool)}" for tool in _TOOLS),
                agreement=round(result.agreement, 6),
                mean_error=round(result.mean_error, 8),
                worst_error=round(result.worst_error, 8),
                error_of_spread=None if result.error_of_spread is None else round(result.error_of_spread, 6),
            ),
        )

    def _calibration_in_words(self, precision: str) -> str:
        if precision != "int8" or self.calibration is None:
            return "none"
        if self.job.calibration == RANDOM:
            return f"{len(self.calibration)} random images: for latency, not for answers"
        return f"{len(self.calibration)} pictures of {Path(self.job.calibration).name}, seed {self.job.seed}"


_WEIGHTS = {"": "the source's own", "none": "random", "imagenet": "Keras's ImageNet weights"}


def _with_accuracy(result: Result, ours: Outputs, source: Outputs, truth: NDArray[np.int64]) -> Result:
    right, source_right = (outputs.argmax(axis=1) == truth for outputs in (ours, source))
    value, low, high = check.difference(right, source_right)
    return replace(result, top1=float(right.mean()), top1_difference=value, difference_low=low, difference_high=high)


def _recipe(precision: str, io: str) -> str:
    return {
        "fp32": "TensorFlow's converter, no quantization",
        "fp16": "TensorFlow's converter, float16 weights",
        "dynamic": "TensorFlow's converter, dynamic range: int8 weights, activations quantized as they come",
        "weight_only": "AI Edge Quantizer, int8 weights of convolutions and dense layers, dequantized before use",
        "int8": f"TensorFlow's converter, full int8: weights, activations; {io} input and output",
    }[precision]


def _explained(error: Exception, stem: str, precision: str) -> ConvertError:
    operators = sorted(set(_UNSUPPORTED.findall(str(error))))
    if operators:
        return ConvertError(f"{stem}: TFLite has no {', '.join(operators)}: replace the layers that use it")
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return ConvertError(f"{stem}: cannot be converted to {precision}: {(lines or [type(error).__name__])[0][:300]}")


def main() -> None:
    """Convert what standard input asks for."""
    job, send = messages.receive()
    try:
        _Conversion(records.read(Job, job), send).run()
    except OnDeviceError as error:
        traceback.print_exc()  # to the log
        send("error", message=str(error), usage=isinstance(error, UsageError))
    except MemoryError:
        send("error", message="out of memory", usage=False)
    os._exit(0)  # TensorFlow takes seconds to take apart
