"""In a checkout the rooms stand beside this folder, not in it: where to find `ondevice.models` and the others there.

The wheel installs them all under the one name, and an editable install maps them; but Python that is started in the
checkout's root finds `./ondevice` first, whatever is installed. A finder and not the package's `__path__`, for that
would make everything beside this folder importable under it: `ondevice.tests`, `ondevice.ondevice`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType

ROOMS = ("client", "cloud", "converters", "lab", "models", "selection")
_ROOT = Path(__file__).parents[1]


class _Rooms:
    """Finds the rooms beside this folder."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        """The room of this name, as the import system asks for it."""
        package, _, room = name.partition(".")
        return PathFinder.find_spec(name, [str(_ROOT)], target) if package == "ondevice" and room in ROOMS else None


def _is_checkout() -> bool:
    """Whether the folder above is ours, by what it says, for `ondevice` may lie in anybody's project."""
    try:
        return 'name = "ondevice-cnn"' in (_ROOT / "pyproject.toml").read_text(encoding="utf-8")
    except (OSError, ValueError):
        return False


if _is_checkout():
    # Before all others: an editable install of another checkout finds its own rooms for names missing here.
    sys.meta_path.insert(0, _Rooms)
