"""The checkout that is tested."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
# The folders beside `ondevice/` that are installed under its name, and all that are installed.
BESIDE = ("models", "converters", "selection", "cloud", "client", "lab")
INSTALLED = ("ondevice", *BESIDE)
