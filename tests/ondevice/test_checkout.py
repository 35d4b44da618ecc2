"""In a checkout the package finds the rooms beside it, its own before another checkout's, and nothing else."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from ondevice import _checkout

ROOT = Path(__file__).parents[2]
FILES = {
    "pyproject.toml": '[project]\nname = "ondevice-cnn"\n',
    "ondevice/__init__.py": "from ondevice import _checkout",
    "ondevice/inside.py": "",
    "models/__init__.py": "",
    "models/zoo.py": "",
    "tests/__init__.py": "",
}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A small checkout, with the module that finds its rooms."""
    files = {**FILES, "ondevice/_checkout.py": Path(_checkout.__file__).read_text()}
    for name, content in files.items():
        path = tmp_path / "copy" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    return tmp_path / "copy"


def found(copy: Path, module: str, before: str = "") -> str:
    """Where a new Python that has no packages finds a module; empty where it does not."""
    program = (
        f"import importlib.util\n{before}\nspec = importlib.util.find_spec({module!r})\nprint(spec and spec.origin)"
    )
    command = [sys.executable, "-IS", "-c", f"import sys; sys.path.insert(0, {str(copy)!r})\n{program}"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return "" if said == "None" else said


@pytest.mark.parametrize(
    ("module", "file"),
    [
        ("ondevice.models", "models/__init__.py"),
        ("ondevice.models.zoo", "models/zoo.py"),
        ("ondevice.inside", "ondevice/inside.py"),
    ],
)
def test_the_rooms_beside_are_found(copy: Path, module: str, file: str) -> None:
    assert found(copy, module) == str(copy / file)


@pytest.mark.parametrize("module", ["ondevice.tests", "ondevice.ondevice", "ondevice.selection", "ondevice.models.no"])
def test_nothing_else_is(copy: Path, module: str) -> None:
    assert found(copy, module) == ""


@pytest.mark.parametrize("content", ['[project]\nname = "mine"\n', "\udcff", None])
def test_in_anybody_else_s_project_nothing_is(copy: Path, content: str | None) -> None:
    project = copy / "pyproject.toml"
    project.unlink()
    if content is not None:
        project.write_bytes(content.encode(errors="surrogateescape"))
    assert found(copy, "ondevice.models") == ""


def test_another_checkout_that_is_installed_editable_does_not_come_first(copy: Path) -> None:
    # As setuptools does it: a finder that knows the other one's folders.
    before = (
        "class Editable:\n"
        "    @staticmethod\n"
        "    def find_spec(name, path=None, target=None):\n"
        "        if name == 'ondevice.models':\n"
        "            return importlib.util.spec_from_file_location(name, '/other/models/__init__.py')\n"
        "sys.meta_path.append(Editable)"
    )
    assert found(copy, "ondevice.models", before) == str(copy / "models/__init__.py")


def test_every_room_that_the_wheel_maps_is_known() -> None:
    mapped = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-dir"]
    assert {f"ondevice.{room}": room for room in _checkout.ROOMS} | {"ondevice": "ondevice"} == mapped
