"""Do LiteRT, tflite-runtime and TensorFlow give the same answers? Top-1 on 100 photos, the differences listed.

    python benchmarks/runtimes.py [MODEL.tflite] [DIR of photos]

tflite-runtime needs numpy 1 and Python 3.11 or older: it gets a virtual environment of its own, made here with pip.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("ONDEVICE_TEST_DATA", ROOT.parent / "shared" / "data"))
PHOTOS = 100
Best = dict[str, "tuple[int, float] | None"]
OLD = ("tflite-runtime==2.14.0", "numpy<2", "pillow", "requests", "typer<0.29", "setuptools>=77")


def old_environment(folder: Path) -> Path:
    """Make an environment with tflite-runtime and this project in it; gives its Python."""
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", *OLD], check=True)
    command = [python, "-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "-e", ROOT]
    subprocess.run(command, check=True)
    return python


def answers(
    python: Path, runtime: str, model: Path, photos: list[Path]
) -> tuple[str, dict[str, tuple[int, float] | None]]:
    """The runtime's name with its version, and each photo's top-1 index and score; None where it could not be read."""
    command = [python, "-m", "ondevice", "run", model.resolve(), *photos, "--runtime", runtime, "--format", "json"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tempfile.gettempdir())
    if not done.stdout:
        sys.exit(f"{runtime}: {done.stderr.strip()}")
    records = json.loads(done.stdout)
    version = next(r["runtime"] for r in records if "runtime" in r)
    return version, {r["image"]: _best(r) for r in records}


def _best(record: dict[str, Any]) -> tuple[int, float] | None:
    return (record["top"][0]["index"], record["top"][0]["score"]) if "top" in record else None


def main() -> None:
    """Compare all three and print the differences."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=DATA / "tflite" / "mobilenet_v2_1.0_224_quant.tflite")
    parser.add_argument("photos", nargs="?", type=Path, default=DATA / "imagenet")
    arguments = parser.parse_args()
    photos = sorted(arguments.photos.resolve().glob("*.JPEG"))[:PHOTOS]
    if not photos or not arguments.model.is_file():
        sys.exit(f"no model {arguments.model} or no .JPEG in {arguments.photos}")
    here = Path(sys.executable)
    with tempfile.TemporaryDirectory() as folder:
        pythons = {"litert": here, "tensorflow": here, "tflite-runtime": old_environment(Path(folder) / "old")}
        found = dict(answers(python, name, arguments.model, photos) for name, python in pythons.items())
    (first, expected), *others = found.items()
    print(f"{arguments.model.stem}: top-1 of {len(expected)} photos, against {first}")
    for name, got in others:
        differing = [image for image in expected if (got[image] or (-1,))[0] != (expected[image] or (-1,))[0]]
        print(f"  {name}: {len(expected) - len(differing)} the same, {len(differing)} different")
        for image in differing:
            print(f"    {Path(image).name}: (index, score) {got[image]}, not {expected[image]}")


if __name__ == "__main__":
    main()
