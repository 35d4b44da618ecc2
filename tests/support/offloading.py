"""What tests of `ondevice offload` share: its pictures, its flags, and how its summary is read."""

from __future__ import annotations

import shutil
from pathlib import Path

from ondevice.models import zoo

# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"
LOCAL = ("--local", "digits_xs_int8")
COLUMNS = [
    "image", "label", "score", "right", "where", "model",
    "network_ms", "queue_ms", "decode_ms", "invoke_ms", "total_ms", "on_time", "sent_bytes", "upload", "why",
]  # fmt: skip
# A deadline that a busy machine meets too.
LONG = ("--sla", 20_000)


def labelled(folder: Path) -> Path:
    """A folder in this one with two pictures of each of four digits, a folder a digit."""
    for digit in "0147":
        (folder / "labelled" / digit).mkdir(parents=True)
        for path in sorted((zoo.samples_dir() / digit).glob("*.png"))[:2]:
            shutil.copy(path, folder / "labelled" / digit)
    return folder / "labelled"


def summary_of(text: str) -> dict[str, str]:
    """The figures of the table of two columns at the end of a text."""
    lines = text.splitlines()
    at = next(number for number, line in enumerate(lines) if line.split() == ["summary", "value"])
    return {key.strip(): value for key, value in (line.rsplit(maxsplit=1) for line in lines[at + 2 :])}
