"""Imports point down only: the table below, checked against the source."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest
from project import BESIDE, ROOT

# What lies under everything: the rooms that know nothing of models, and these modules.
LEAF_ROOMS = ("ondevice.protocol", "ondevice.timing", "ondevice.resilience", "ondevice.process")
LEAVES = {"ondevice.errors", "ondevice.words", "ondevice.records", "ondevice.reading", "ondevice._version", *LEAF_ROOMS}
DEVICE = {
    "ondevice",
    "ondevice.models",
    "ondevice.host",
    "ondevice.limits",
    "ondevice.devices",
    "ondevice.dataset",
    "ondevice.frames",
}
CLOUD = {
    "ondevice.cloud.http",
    "ondevice.cloud.app",
    "ondevice.cloud.select",
    "ondevice.cloud.backends",
    "ondevice.cloud.backends.workers",
    "ondevice.cloud.backends.local",
    "ondevice.cloud.backends.upstream",
}
CLIENT = {
    "ondevice.client.connection",
    "ondevice.client.endpoint",
    "ondevice.client.executors",
    "ondevice.client.planning",
}
# Room → the rooms whose modules it may import, besides itself and the leaves. A leaf may import errors alone.
ALLOWED: dict[str, set[str]] = {
    **{room: set() for room in LEAF_ROOMS},
    "ondevice.models": set(),
    "ondevice.host": set(),
    "ondevice.limits": {"ondevice.host"},
    "ondevice.devices": DEVICE,
    "ondevice.dataset": DEVICE,
    "ondevice.frames": DEVICE,
    "ondevice": DEVICE,
    "ondevice.bench": DEVICE | {"ondevice.bench.mlperf"},
    "ondevice.bench.mlperf": DEVICE | {"ondevice.bench"},
    "ondevice.converters": DEVICE
    | {"ondevice.bench", "ondevice.converters.architectures", "ondevice.converters.sources"},
    "ondevice.converters.architectures": {"ondevice.converters"},
    "ondevice.converters.sources": DEVICE | {"ondevice.converters", "ondevice.converters.architectures"},
    "ondevice.selection": set(),
    "ondevice.cloud": CLOUD | {"ondevice.models", "ondevice.host"},
    "ondevice.cloud.http": {"ondevice.cloud.app"},
    "ondevice.cloud.ray": CLOUD | {"ondevice.models", "ondevice.host", "ondevice.cloud"},
    "ondevice.cloud.app": {
        "ondevice.models",
        "ondevice.selection",
        "ondevice.cloud.backends",
        "ondevice.cloud.select",
    },
    "ondevice.cloud.select": {"ondevice.selection", "ondevice.cloud.backends"},
    "ondevice.cloud.backends": set(),
    "ondevice.cloud.backends.workers": DEVICE | {"ondevice.cloud.backends"},
    "ondevice.cloud.backends.local": DEVICE | {"ondevice.cloud.backends", "ondevice.cloud.backends.workers"},
    "ondevice.cloud.backends.upstream": DEVICE | {"ondevice.cloud.backends", "ondevice.cloud.backends.workers"},
    "ondevice.client": DEVICE | CLIENT | {"ondevice.selection"},
    "ondevice.client.connection": set(),
    "ondevice.client.endpoint": DEVICE | {"ondevice.client", "ondevice.client.connection", "ondevice.selection"},
    "ondevice.client.planning": DEVICE | {"ondevice.client", "ondevice.client.endpoint", "ondevice.client.executors"},
    "ondevice.client.executors": DEVICE
    | CLIENT - {"ondevice.client.planning"}
    | {"ondevice.client", "ondevice.selection"},
}
ALLOWED["ondevice.lab"] = set()
ALLOWED["ondevice.lab.link"] = set()
ALLOWED["ondevice.lab.simulate"] = {*ALLOWED} - {"ondevice.cloud", "ondevice.cloud.ray", *CLOUD}
ALLOWED["ondevice.lab.demo"] = {*ALLOWED} - {"ondevice.lab.simulate"}
ALLOWED["ondevice.cli"] = set(ALLOWED)


def folder(room: str) -> Path:
    """Where a room's modules lie: beside `ondevice/`, or in it."""
    parts = room.split(".")
    return ROOT.joinpath(*parts[1:] if parts[1:2] and parts[1] in BESIDE else parts)


# What a device does not have; only imported inside the functions that need it.
HEAVY = {"tensorflow", "keras", "sklearn", "matplotlib", "aiohttp", "ray", "requests", "rich", "platformdirs"}


def sources(package: str) -> list[Path]:
    # The doors of the command line (`python -m ondevice`) and of the Python API, though they must stand in the package.
    doors = ("__main__.py", "__init__.py") if package == "ondevice" else ()
    return sorted(p for p in folder(package).glob("*.py") if p.name not in doors)


def imported(tree: ast.AST) -> set[str]:
    """The full names of all imported modules, with `from a import b` as both a and a.b."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {str(node.module)}
    return names


def package_of(name: str) -> str | None:
    """The longest package of the table that holds this module."""
    return max((p for p in ALLOWED if name == p or name.startswith(p + ".")), key=len, default=None)


def violations(package: str, source: str) -> list[str]:
    allowed = ALLOWED[package] | {package}
    leaves = LEAVES - set(LEAF_ROOMS) if package in LEAF_ROOMS else LEAVES
    found = []
    for name in imported(ast.parse(source)):
        # `from ondevice import x` names the package only on the way to x, or to a name that __init__ exports.
        if name in leaves or any(name.startswith(leaf + ".") for leaf in leaves) or name == "ondevice":
            continue
        owner = package_of(name)
        if owner is not None and owner not in allowed:
            found.append(name)
    return found


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_only_point_down(package: str) -> None:
    found = {str(path): violations(package, path.read_text()) for path in sources(package)}
    assert sources(package)
    assert {path: names for path, names in found.items() if names} == {}


@pytest.mark.parametrize(
    ("package", "line"),
    [
        ("ondevice.models", "from ondevice.runner import Runner"),
        ("ondevice.models", "from ondevice import runner"),
        ("ondevice", "from ondevice.cli import console"),
        ("ondevice.host", "from ondevice.models import files"),
        ("ondevice", "import ondevice.converters.export"),
        ("ondevice.converters", "from ondevice.cli.console import note"),
        ("ondevice.selection", "from ondevice.models import zoo"),
        ("ondevice.selection", "from ondevice.runner import Runner"),
        ("ondevice", "from ondevice.cloud.backends.workers import pool"),
        ("ondevice.lab.simulate", "from ondevice.cloud.select.selector import Selector"),
        ("ondevice.cloud.app", "from ondevice.cloud.http.limits import HttpLimits"),
        ("ondevice.cloud.app", "from ondevice.cloud.server import Server"),
        ("ondevice.cloud", "from ondevice.cloud.ray.asgi import AsgiEntrance"),
        ("ondevice.cloud.select", "from ondevice.cloud.app import request_parameters"),
        ("ondevice.cloud.backends", "from ondevice.cloud.backends.workers.pool import Pool"),
        ("ondevice.cloud.backends.upstream", "from ondevice.cloud.backends.local.local import Local"),
        ("ondevice.timing", "from ondevice.protocol import tensor"),
        ("ondevice.protocol", "from ondevice.runner import Runner"),
        ("ondevice.lab.link", "from ondevice.lab.demo import stream"),
    ],
)
def test_an_import_that_points_up_is_found(package: str, line: str) -> None:
    assert violations(package, f"def f():\n    {line}\n") != []


def test_modules_do_not_import_each_other_in_a_circle() -> None:
    # The runner and the emulated devices are two packages that need each other; their modules are not.
    graph = {
        module(package, path): imported(ast.parse(path.read_text())) for package in ALLOWED for path in sources(package)
    }
    # Each import names the packages on the way, whose __init__ would close a circle.
    left = {name: names & set(graph) - {name, "ondevice", "ondevice.cli"} for name, names in graph.items()}
    while free := [name for name, names in left.items() if not names]:
        left = {name: names - set(free) for name, names in left.items() if name not in free}
    assert left == {}


def test_the_socket_knows_of_the_service_only_what_it_is_asked_and_answers() -> None:
    names = {name for path in sources("ondevice.cloud.http") for name in imported(ast.parse(path.read_text()))}
    modules = {".".join(name.split(".")[:4]) for name in names if package_of(name) == "ondevice.cloud.app"}
    assert modules == {"ondevice.cloud.app.messages"}


def module(package: str, path: Path) -> str:
    return package if path.stem == "__init__" else f"{package}.{path.stem}"


@pytest.mark.parametrize("package", ALLOWED)
def test_heavy_packages_are_imported_where_they_are_used(package: str) -> None:
    for path in sources(package):
        top_level = ast.Module([n for n in ast.parse(path.read_text()).body if not isinstance(n, ast.FunctionDef)], [])
        statements = [n for n in top_level.body if isinstance(n, ast.Import | ast.ImportFrom)]
        names = {name.split(".")[0] for node in statements for name in imported(node)}
        assert names & HEAVY == set(), path


def test_every_folder_is_listed_for_the_wheel() -> None:
    import tomllib

    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"])
    assert listed == set(ALLOWED)


@pytest.mark.parametrize("room", ALLOWED)
def test_a_room_says_what_it_is(room: str) -> None:
    said = ast.get_docstring(ast.parse((folder(room) / "__init__.py").read_text()))
    assert len(said or "") > 40


@pytest.mark.parametrize(
    "path", sorted(ROOT.glob("benchmarks/*.py")) + sorted(ROOT.glob("scripts/*.py")), ids=lambda p: p.name
)
def test_what_is_not_tested_imports_what_is_there(path: Path) -> None:
    nodes = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.ImportFrom)]
    ours = [n for n in nodes if (n.module or "").split(".")[0] in ("ondevice", "training")]
    missing = [f"{n.module}.{a.name}" for n in ours for a in n.names if not is_there(str(n.module), a.name)]
    assert missing == []


def is_there(module: str, name: str) -> bool:
    found = importlib.import_module(module)
    return hasattr(found, name) or (hasattr(found, "__path__") and bool(importlib.util.find_spec(f"{module}.{name}")))


# The same table, as CONTRIBUTING has it for people


def rooms() -> dict[str, str]:
    """From the table of rooms: what each may import, in its words."""
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if re.match(r"\| `[\w/]+/` \| `ondevice", line)]
    cells = [[cell.strip() for cell in line.strip("| ").split(" | ")] for line in lines]
    return {row[1].strip("`"): row[3].strip(" |") if len(row) > 3 else "" for row in cells}


def test_every_room_has_its_line() -> None:
    assert set(rooms()) == set(ALLOWED)
    assert all(folder(room).is_dir() for room in rooms())


@pytest.mark.parametrize("room", sorted(set(ALLOWED) - {"ondevice.cli", "ondevice.lab.simulate", "ondevice.lab.demo"}))
def test_a_room_may_import_what_the_page_says(room: str) -> None:
    named = [name.strip("`") for name in rooms()[room].split(", ") if name]
    said = {name for one in named for name in (DEVICE if one == "the device's" else {f"ondevice.{one}"})}
    assert said - {room} == ALLOWED[room] - {room}


def test_the_leaves_are_named() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    for leaf in LEAVES - set(LEAF_ROOMS) - {"ondevice._version"}:
        assert f"`{leaf.replace('.', '/')}.py`" in text
