"""The first file of every child: `python -P start.py LIFELINE VERSION MODULE ARGUMENT…` runs that module's `main()`.

It loads the package that it lies in by its path. No search path is touched for that, so that nothing in the working
directory, nor beside the package, is taken for a module of the same name.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from _thread import start_new_thread  # the module `threading` is loaded for nothing else in some children
from pathlib import Path

# The exit status for it. Any that nothing else ends with: Python takes 1 and 2, a shell from 126.
REPLACED = 117


def _end_with_parent(lifeline: int) -> None:
    """End as soon as the parent's end of the socket is closed: a parent that was killed cannot end us."""
    os.set_inheritable(lifeline, False)
    start_new_thread(_wait, (lifeline,))


def _wait(lifeline: int) -> None:
    while os.read(lifeline, 1):
        pass
    os._exit(1)


def _load(version: str) -> None:
    """Load `ondevice` from here; end with one line where the package was replaced after the parent had loaded it."""
    folder = Path(__file__).absolute().parents[1]
    spec = importlib.util.spec_from_file_location(
        "ondevice", folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = sys.modules["ondevice"] = importlib.util.module_from_spec(spec)
    # Before the rest, which the parent and this process may not agree about any more.
    found = importlib.import_module("ondevice._version").__version__
    if found != version:
        print(f"ondevice {version} was replaced by {found} while it ran: start it again", file=sys.stderr)
        sys.exit(REPLACED)
    spec.loader.exec_module(package)


if __name__ == "__main__":
    # Their order is for ever: the parent may be of another version than this file.
    _end_with_parent(int(sys.argv[1]))
    _load(sys.argv[2])
    del sys.argv[:3]
    sys.exit(importlib.import_module(sys.argv[0]).main())
