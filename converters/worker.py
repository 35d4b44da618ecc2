"""The child process of a conversion: takes a job, sends `result` for the source and each file, `done`, or `error`.

Between them it sends `stage` for progress and `note` for what is passed over.
"""

from __future__ import annotations

import os
import time
import traceback
from dataclasses import asdict, replace

from ondevice import host, records
from ondevice.converters.delivery import Delivery
from ondevice.converters.explanation import explained, in_short
from ondevice.converters.inspection import Inspection
from ondevice.converters.job import ConversionJob, ConversionResult
from ondevice.converters.material import cropped, gather
from ondevice.converters.sources.opening import open_source
from ondevice.converters.sources.source import Export
from ondevice.errors import OnDeviceError, UsageError
from ondevice.process import messages
from ondevice.process.messages import Send


class Converter:
    """One job: its network, what that is converted with, and the files that come of it.

    Raises what its source and its material raise.
    """

    def __init__(self, job: ConversionJob, send: Send) -> None:
        self._job, self._send = job, send
        self._stage(f"building {job.stem}")
        self._source = open_source(job)
        self._stage(f"{job.stem}: reading pictures")
        classes = self._source.classes
        if not self._source.knows_crop:
            self._source.input = cropped(job, self._source.input, classes)
        wanted = self._source.input
        self._material = gather(job, wanted, classes, lambda text: send("note", text=text))
        self._delivery = Delivery(job, self._source, self._material)
        checked = self._material.checked
        self._stage(f"{job.stem}: asking the source for {len(checked.images)} answers")
        self._inspection = Inspection(job, self._source, checked)
        self._contents: dict[str, bytes] = {}

    def run(self) -> None:
        """Convert to every precision; a file that fails its check costs itself alone."""
        self._send("result", **asdict(self._inspection.of_source()))
        with self._source.exporting() as export:
            for precision in self._job.precisions:
                start = time.monotonic()
                result = self._convert(precision, export)
                self._send("result", **asdict(replace(result, seconds=time.monotonic() - start)))
        self._send("done", peak_bytes=host.current().memory.peak_bytes())

    def _stage(self, text: str) -> None:
        self._send("stage", text=text)

    def _convert(self, precision: str, export: Export) -> ConversionResult:
        self._stage(f"{self._job.stem}: converting to {precision}")
        content = self._content(precision, export)
        self._stage(f"{self._job.stem}: checking {precision}")
        result = self._inspection.of_file(precision, content, lambda: self._content("fp32", export))
        if not result.failed:
            self._delivery.put_in_place(result, content)
        return result

    def _content(self, precision: str, export: Export) -> bytes:
        """The file's bytes; fp32's are kept, for other files may be compared with them."""
        if precision in self._contents:
            return self._contents[precision]
        calibration = self._material.calibration
        tensors = [] if calibration is None else list(self._source.tensors(calibration.images)[:, None])
        try:
            content = export(precision, tensors, self._job.io)
        except OnDeviceError:
            raise
        except Exception as error:
            raise explained(error, self._job, precision) from error
        if precision == "fp32":
            self._contents[precision] = content
        return content


def main() -> None:
    """Convert what standard input asks for."""
    received, send = messages.receive()
    job = records.read(ConversionJob, received)
    try:
        Converter(job, send).run()
    except OnDeviceError as error:
        traceback.print_exc()  # to the log
        send("error", message=str(error), usage=isinstance(error, UsageError))
    except MemoryError:
        send("error", message=f"{job.stem}: out of memory", usage=False)
    except Exception as error:
        traceback.print_exc()
        send(
            "error", message=f"{job.stem}: cannot be converted: {type(error).__name__}: {in_short(error)}", usage=False
        )
    os._exit(0)  # TensorFlow takes seconds to take apart
