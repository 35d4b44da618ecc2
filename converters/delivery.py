"""A converted file, its card and its labels, put in place together."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ondevice.converters.job import ConversionJob, ConversionResult
from ondevice.converters.material import Material
from ondevice.converters.sources.source import Source
from ondevice.models import description, files
from ondevice.models.card import Accuracy, Card, Conversion
from ondevice.models.description import KnownFrom

_WEIGHTS = {"": "the source's own", "none": "random"}


@dataclass(frozen=True)
class Delivery:
    """Where the files of one job go, and what their cards say of them."""

    job: ConversionJob
    source: Source
    material: Material

    def put_in_place(self, result: ConversionResult, content: bytes) -> None:
        """Write the file that was checked, its card beside it, and its label list unless that is a bundled one.

        Each is whole or absent. Raises OnDeviceError.
        """
        path = Path(result.path)
        try:
            with files.replacing(path) as out:
                out.write(content)
                out.flush()  # so that a full disk is noticed before the card is there
                if not self.material.labels.bundled:
                    with files.replacing(path.parent / self._label_list(path)) as lines:
                        lines.write(self.material.labels.text().encode())
                self._card(result, content).write(path.with_suffix(".toml"))
        except OSError as error:
            raise files.explain(error, path) from error

    def _label_list(self, path: Path) -> str:
        return self.material.labels.bundled or f"{path.stem}.labels.txt"

    def _card(self, result: ConversionResult, content: bytes) -> Card:
        path = Path(result.path)
        return Card(
            name=path.stem,
            family=re.split(r"_(?=\d)", self.job.stem)[0],
            architecture=self.source.architecture,
            precision=result.precision,
            input=self.source.input,
            labels=self._label_list(path),
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            licence=self.job.licence,
            source=f"converted from {self.job.source}",
            background=self.material.background,
            output=self.source.meaning.value if self.source.meaning.of_two else None,
            sources=self._sources(),
            accuracy=None if result.top1 is None else self._accuracy(result.top1),
            conversion=self._conversion(result),
        )

    def _sources(self) -> dict[str, str]:
        """Where what the card says is known from: the job's flags, the label file beside its source, the network."""
        job, labels = self.job, self.material.labels
        is_listed = not labels.bundled and Path(labels.source).is_file()
        names = KnownFrom.FLAG if job.labels else KnownFrom.BESIDE if is_listed else KnownFrom.CONVENTION
        return {
            description.SIZE: KnownFrom.FLAG if job.side else KnownFrom.NETWORK,
            description.RANGE: KnownFrom.FLAG if job.normalization else KnownFrom.NETWORK,
            description.CROP: KnownFrom.CONVENTION if job.crop is None else KnownFrom.FLAG,
            description.COLOURS: self._colours(),
            description.LABELS: names,
            description.BACKGROUND: KnownFrom.CONVENTION,
            description.OUTPUT: KnownFrom.NETWORK,
        }

    def _colours(self) -> KnownFrom:
        if self.job.bgr is not None:
            return KnownFrom.FLAG
        return KnownFrom.NETWORK if self.source.input.channels == 1 else KnownFrom.CONVENTION

    def _accuracy(self, top1: float) -> Accuracy:
        checked = self.material.checked
        return Accuracy(round(top1, 4), checked.description, n=len(checked.images))

    def _conversion(self, result: ConversionResult) -> Conversion:
        calibration = self.material.calibration if result.precision == "int8" else None
        assert result.agreement is not None
        assert result.mean_error is not None
        assert result.worst_error is not None
        return Conversion(
            recipe=self.source.recipe(result.precision, self.job.io),
            weights=self._weights(),
            calibration="none" if calibration is None else calibration.description,
            check=self.material.checked.description,
            tools=", ".join(f"{tool} {metadata.version(tool)}" for tool in self.source.tools),
            agreement=round(result.agreement, 6),
            mean_error=round(result.mean_error, 8),
            worst_error=round(result.worst_error, 8),
            error_of_spread=None if result.error_of_spread is None else round(result.error_of_spread, 6),
        )

    def _weights(self) -> str:
        if self.job.weights == "imagenet":
            return f"{self.source.publisher}'s ImageNet weights"
        return _WEIGHTS.get(self.job.weights) or Path(self.job.weights).name
