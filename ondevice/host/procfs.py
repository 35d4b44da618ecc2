"""Files under /proc and /sys; one that is missing or forbidden reads as empty."""

from __future__ import annotations

from pathlib import Path


def read(path: Path) -> str:
    """The file's text; empty where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def field(path: Path, key: str) -> str:
    """The first value of a key in a file of `key : value` lines; empty where it is not there."""
    for line in read(path).splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""


def matching(folder: Path, pattern: str) -> list[Path]:
    """What a folder holds of that pattern, sorted; nothing where a phone forbids the folder."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return []
