"""The installed package and command, plain and editable, started where other modules of its names lie.

All with real processes: a child that took a stranger's `select.py` for the standard library's would leave a mark.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import sysconfig
import urllib.request
import venv
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import pytest
from serving import children
from simulating import small

from ondevice.models import zoo

PICTURE = min(zoo.samples_dir().glob("7/*.png"))
# Names of the standard library's, of a dependency's, of ours, and of what lies beside us in a checkout.
STRANGERS = ("select.py", "json.py", "numpy.py", "ondevice/__init__.py", "models/__init__.py", "tests/__init__.py")
MARK = "open({mark!r}, 'a').write(__file__ + '\\n'); raise SystemExit(__file__)\n"


class Installed(NamedTuple):
    """A virtual environment with the package. package: the folder that `import ondevice` finds from outside."""

    bin: Path
    package: Path


def install(folder: Path, *what: str) -> Path:
    """A new environment with this, and with the dependencies of the running one."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    packages = Path(sysconfig.get_path("purelib", vars={"base": str(folder), "platbase": str(folder)}))
    paths = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (packages / "dependencies.pth").write_text("\n".join(paths))
    pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-qI", "--no-deps", "--no-index"]
    subprocess.run([*pip, "--no-build-isolation", *what], check=True, capture_output=True)
    return packages


@pytest.fixture(scope="module")
def plain(wheel_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("plain")
    return Installed(folder / "bin", install(folder, str(wheel_path)) / "ondevice")


@pytest.fixture(scope="module")
def editable(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    folder = tmp_path_factory.mktemp("editable")
    install(folder, "-e", str(checkout))
    subprocess.run([folder / "bin" / "python", checkout / "scripts" / "checkout_path.py"], check=True)
    return Installed(folder / "bin", checkout / "ondevice")


@pytest.fixture(params=["plain", "editable"])
def installed(request: pytest.FixtureRequest) -> Installed:
    found: Installed = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def marks(tmp_path: Path) -> Path:
    """Where a stranger's module says that it was imported."""
    return tmp_path / "marks"


@pytest.fixture(params=["root", "beside", "/", "strangers"])
def where(request: pytest.FixtureRequest, checkout: Path, tmp_path: Path, marks: Path) -> Path:
    """The working directory: a checkout's root, the folder in which it lies, none of ours, or one full of strangers."""
    if request.param != "strangers":
        return {"root": checkout, "beside": checkout.parent, "/": Path("/")}[request.param]
    for name in STRANGERS:
        path = tmp_path / "strangers" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(MARK.format(mark=str(marks)))
    return tmp_path / "strangers"


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """Nothing that would lead Python to this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    return {**kept, "ONDEVICE_HOME": str(home)}


Run = Callable[..., str]


@pytest.fixture
def run(installed: Installed, where: Path, environment: dict[str, str]) -> Run:
    """What a program of the environment prints when it is run there."""

    def run(program: str, *arguments: object) -> str:
        command = [str(installed.bin / program), *map(str, arguments)]
        done = subprocess.run(command, cwd=where, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_it_is_imported_from_anywhere(run: Run, installed: Installed, where: Path, marks: Path, checkout: Path) -> None:
    program = "import ondevice, ondevice.models.zoo; print(ondevice.__file__); print(ondevice.OffloadClient.__module__)"
    # Without -P, what lies in a stranger's folder comes first: that is Python's rule, and its user's affair.
    safe = [] if where.name != "strangers" else ["-P"]
    file, module = run("python", *safe, "-c", program).splitlines()
    assert Path(file).parent == (checkout / "ondevice" if where == checkout else installed.package)
    assert module.startswith("ondevice.client.")
    assert not marks.exists()


def test_what_is_not_of_the_package_cannot_be_imported(run: Run, where: Path) -> None:
    program = (
        "import importlib.util\n"
        "for name in ('tests', 'benchmarks', 'ondevice', 'docs', 'scripts', 'training', 'setup'):\n"
        "    assert importlib.util.find_spec('ondevice.' + name) is None, name\n"
    )
    run("python", *([] if where.name != "strangers" else ["-P"]), "-c", program)


@contextlib.contextmanager
def served(installed: Installed, where: Path, environment: dict[str, str]) -> Iterator[tuple[int, str]]:
    """A running endpoint: its process id and address."""
    command = [str(installed.bin / "ondevice"), "serve", "--models", "digits_xs_int8", "--port", "0", "--workers", "1"]
    with subprocess.Popen(
        command, cwd=where, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            assert server.stderr is not None
            url = server.stdout.readline().strip()
            assert url, server.stderr.read()
            yield server.pid, url
        finally:
            server.terminate()
            server.communicate()


def classify(url: str) -> int:
    """The class that the endpoint finds."""
    request = urllib.request.Request(
        f"{url}/v2/models/cnnselect/infer", PICTURE.read_bytes(), {"Content-Type": "image/png"}
    )
    with urllib.request.urlopen(request) as reply:
        outputs = {output["name"]: output["data"] for output in json.load(reply)["outputs"]}
    index: int = outputs["index"][0]
    return index


# An editable installation starts its children as a plain one does: it is tried where most could go wrong.
@pytest.mark.parametrize(
    ("installed", "where"),
    [("plain", "root"), ("plain", "/"), ("plain", "strangers"), ("editable", "strangers")],
    indirect=True,
)
def test_the_command_works_anywhere_with_all_its_children(
    run: Run,
    installed: Installed,
    where: Path,
    environment: dict[str, str],
    stranger: Path,
    home: Path,
    marks: Path,
    tmp_path: Path,
) -> None:
    small(tmp_path)
    with ThreadPoolExecutor() as pool, served(installed, where, environment) as (pid, url):
        answer = pool.submit(run, "ondevice", "run", stranger, PICTURE, "--format", "json")
        quick = ("--runs", 3, "--warmup", 1, "--min-secs", 0, "--format", "json")
        measured = pool.submit(run, "ondevice", "bench", "digits_xs_int8", *quick)
        cases = ("--network", "normal:mean=30,std=9", "--sla", "100,150", "-r", 100, "--jobs", 2, "--format", "csv")
        simulated = pool.submit(run, "ondevice", "simulate", "--models", tmp_path / "small.csv", *cases)
        assert classify(url) == 7
        for child in children(pid):
            assert os.fsencode(installed.package) in Path(f"/proc/{child}/cmdline").read_bytes()
        assert json.loads(answer.result())
        assert json.loads(measured.result())
        assert simulated.result().count("\n") > 2
    # It was tried in a process of its own.
    assert len(list((home / "cache" / "tried").iterdir())) == 1
    assert not marks.exists()
