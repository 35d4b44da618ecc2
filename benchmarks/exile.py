"""What four pictures of 49 megapixels do to the choice for the photos of others, for good.

    python benchmarks/exile.py FAST GOOD PHOTOS [--sla MS] [--against PYTHON]

FAST, GOOD: two .tflite files that are in the zoo, the second the more accurate. PHOTOS: a folder of JPEGs. With
`--against PYTHON` that environment's version is shown beside this one.
"""

from __future__ import annotations

import argparse
import asyncio
import io
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import versions
from PIL import Image
from serving import ask, serving

from ondevice.cli import console

# Photos before and after; of each row the last FEW are looked at, for the choice may take some requests to settle.
PHOTOS, FEW = 200, 50


def huge() -> bytes:
    """A valid WebP of 49 megapixels of one colour, 87 kB."""
    file = io.BytesIO()
    Image.new("RGB", (7000, 7000), (90, 120, 150)).save(file, "WEBP", method=0)
    return file.getvalue()


def exile(
    models: Sequence[Path], photos: Sequence[bytes], sla_ms: float, name: str, by: versions.Side | None
) -> Iterator[dict[str, Any]]:
    """How many of the last photos the more accurate model answered, before and after the huge ones."""
    with serving(models, "--no-log-requests", by=by) as server:
        for when in ("before", "after"):
            sent = asyncio.run(ask(server.url, photos, f"sla_ms={sla_ms:g}"))[-FEW:]
            chosen = [one.parameters["selected_model"] for one in sent if one.status == 200]
            yield {
                "version": name,
                "": when,
                "by the better": chosen.count(models[1].stem),
                "of": FEW,
                "p50_ms": sorted(one.latency_ms for one in sent)[FEW // 2],
            }
            if when == "before":
                asyncio.run(ask(server.url, [huge()] * 4, "sla_ms=60000"))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("models", type=Path, nargs=2, metavar="MODEL")
    parser.add_argument("photos", type=Path)
    parser.add_argument("--sla", type=float, default=100.0, help="the photos' deadline, ms (100)")
    parser.add_argument("--against", metavar="PYTHON", help="show this environment's version too")
    arguments = parser.parse_args()
    photos = [path.read_bytes() for path in sorted(arguments.photos.glob("*.JPEG"))[:PHOTOS]]
    named = versions.named(arguments.against)
    rows = [row for name, by in named.items() for row in exile(arguments.models, photos, arguments.sla, name, by)]
    print(console.table(rows, ".1f"))


if __name__ == "__main__":
    main()
