"""Folders with files that are nothing but their names."""

from __future__ import annotations

from pathlib import Path


def tree(folder: Path, *names: str) -> Path:
    """Files by these names, empty ones: nothing here looks inside."""
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return folder
