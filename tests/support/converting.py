"""`ondevice convert` run in a folder of its own, or a job of it in this process, and what came of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from ondevice.converters.job import ConversionJob, ConversionResult
from ondevice.converters.worker import Converter
from ondevice.models import zoo

SAMPLES = str(zoo.samples_dir())
# The small networks see the digits, whose folders are named as the classes are.
HOW = ("--range=-1,1", "--crop", "1", "--labels", "digits", "--calibration", SAMPLES, "--calibration-size", "20")


class Ran(NamedTuple):
    """A finished command, where it wrote, and the home that it had."""

    done: subprocess.CompletedProcess[str]
    out: Path
    home: Path

    def names(self) -> list[str]:
        return sorted(path.name for path in self.out.iterdir()) if self.out.is_dir() else []

    def logs(self) -> list[Path]:
        return list((self.home / "cache" / "logs").glob("*"))

    def errors(self) -> list[str]:
        """The lines on standard error; fails if one of them is not an error of ours."""
        lines = self.done.stderr.splitlines()
        assert all(line.startswith("ondevice: error: ") for line in lines), self.done.stderr
        return lines


def command(out: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "ondevice", "convert", *map(str, arguments), "--out", str(out)]


def environment(home: Path, **more: str) -> dict[str, str]:
    """With a home and a folder for temporary files of its own."""
    (home / "tmp").mkdir(parents=True, exist_ok=True)
    return {**os.environ, "ONDEVICE_HOME": str(home), "TMPDIR": str(home / "tmp"), **more}


def ran(folder: Path, *arguments: object, **more: str) -> Ran:
    """Convert in a folder of its own; fails if temporary files are left."""
    out, home = folder / "out", folder / "home"
    done = subprocess.run(
        command(out, *arguments), capture_output=True, text=True, timeout=300, check=False,
        env=environment(home, **more),
    )  # fmt: skip
    assert list((home / "tmp").iterdir()) == []
    assert not list(out.glob(".*")) if out.is_dir() else True
    return Ran(done, out, home)


def converted(job: ConversionJob) -> list[ConversionResult]:
    """The results of a job, by what its own process would run: TensorFlow takes seconds to import in each."""
    results: list[ConversionResult] = []

    def send(kind: str, **fields: Any) -> None:
        if kind == "result":
            results.append(ConversionResult(**fields))

    Converter(job, send).run()
    return results
