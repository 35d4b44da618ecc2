"""The wheel: one import name, the right requirements on each platform, small, typed."""

from __future__ import annotations

import email
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from project import INSTALLED


@pytest.fixture(scope="module")
def wheel(wheel_path: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(wheel_path) as built:
        yield built


@pytest.fixture
def requirements(wheel: zipfile.ZipFile) -> list[Requirement]:
    name = next(n for n in wheel.namelist() if n.endswith("METADATA"))
    metadata = email.message_from_bytes(wheel.read(name))
    return [Requirement(line) for line in metadata.get_all("Requires-Dist", [])]


PLATFORMS = {
    "x86_64": ("linux", "x86_64", "3.11", {"ai-edge-litert"}, ""),
    "aarch64": ("linux", "aarch64", "3.13", {"ai-edge-litert"}, ""),
    "armv7l": ("linux", "armv7l", "3.11", {"tflite-runtime"}, "<2"),
    "armv7l by linux32 on a 64-bit kernel": ("linux", "armv8l", "3.11", {"tflite-runtime"}, "<2"),
    "macOS arm64": ("darwin", "arm64", "3.13", {"ai-edge-litert"}, ""),
    "Termux": ("android", "aarch64", "3.13", set(), ""),
}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_platform_gets_its_runtime(requirements: list[Requirement], platform: str) -> None:
    system, machine, python, runtimes, numpy_limit = PLATFORMS[platform]
    environment = {
        "sys_platform": system,
        "platform_machine": machine,
        "python_version": python,
        "python_full_version": f"{python}.0",
        "extra": "",
    }
    here = [r for r in requirements if r.marker is None or r.marker.evaluate(environment)]
    names = {r.name for r in here}
    assert names & {"ai-edge-litert", "tflite-runtime", "tensorflow"} == runtimes
    assert names - runtimes == {"numpy", "pillow", "platformdirs", "requests", "typer"}
    assert [str(r.specifier) for r in here if r.name == "numpy" and "<" in str(r.specifier)] == [numpy_limit] * bool(
        numpy_limit
    )


def test_typer_stays_below_the_one_that_needs_pydantic(requirements: list[Requirement]) -> None:
    assert "0.29.0" not in next(r.specifier for r in requirements if r.name == "typer")


def test_the_wheel_installs_one_import_name(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"ondevice"}


# What trains or describes, and is no part of what runs.
LEFT_OUT = (".pyc", ".md")


def test_the_wheel_has_every_file_of_the_package(checkout: Path, wheel: zipfile.ZipFile) -> None:
    there = {
        (Path("ondevice") / path.relative_to(checkout / "ondevice" if folder == "ondevice" else checkout)).as_posix()
        for folder in INSTALLED
        for path in (checkout / folder).rglob("*")
        if path.is_file() and path.suffix not in LEFT_OUT
    }
    assert {"ondevice/py.typed", "ondevice/devices/networks.csv", "ondevice/models/labels/imagenet.txt"} <= there
    assert there - set(wheel.namelist()) == set()
    assert not [name for name in wheel.namelist() if name.startswith("ondevice/training/")]


def test_the_wheel_is_small(wheel: zipfile.ZipFile) -> None:
    bundled = [i.file_size for i in wheel.infolist() if "/models/digits/" in i.filename]
    assert sum(bundled) <= 4_000_000


# What mypy would check, by its own search, in the folder and with the arguments that it is started with.
LISTING = """#!{python}
import sys
from mypy.modulefinder import FindModuleCache, SearchPaths
from mypy.options import Options

package = sys.argv[sys.argv.index("-p") + 1]
found = FindModuleCache(SearchPaths((".",), (), (), ()), None, Options()).find_modules_recursive(package)
print(*sorted(source.module for source in found), sep="\\n")
"""


def test_the_type_check_sees_every_module_of_the_wheel(checkout: Path, wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    for name, program in (("python", '#!/bin/sh\nexec {python} "$@"\n'), ("mypy", LISTING)):
        (tmp_path / name).write_text(program.format(python=sys.executable))
        (tmp_path / name).chmod(0o755)
    done = subprocess.run(
        ["sh", str(checkout / "scripts" / "typecheck")],
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "BIN": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
    )
    modules = {name.removesuffix(".py").removesuffix("/__init__") for name in wheel.namelist() if name.endswith(".py")}
    assert len(modules) > 100
    assert {module.replace("/", ".") for module in modules} <= {*done.stdout.split()}
