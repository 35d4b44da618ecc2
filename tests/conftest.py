"""Shared fixtures: the test data, a home of its own for every test, and copies of bundled models."""

from __future__ import annotations

import itertools
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from forks import Forks
from hypothesis import HealthCheck, configuration, settings

from ondevice.models import zoo

ROOT = Path(__file__).parents[1]

# Every run tries the same cases, and a slow machine fails none; what hypothesis keeps is not kept in the checkout.
settings.register_profile(
    "fixed", derandomize=True, deadline=None, database=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("fixed")
configuration.set_hypothesis_home_dir(Path(tempfile.gettempdir()) / "ondevice-hypothesis")

# A shell without job control has what it starts in the background ignore Ctrl-C, and that is inherited: tests that
# interrupt a process would wait for it for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Rooms of long tests, most of whose time is waiting for processes. They come first, for at the end a worker would be
# alone with the last of them; and real processes before TensorFlow, with which a test's own is slower to fork.
LONG = ("seams", "ondevice/cli", "converters", "lab")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """For `-n auto`, three for two processors: a third of its time and more a test waits."""
    return (3 * (os.cpu_count() or 1) + 1) // 2


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the files into the order in which workers take them."""

    def place(item: pytest.Item) -> int:
        room = item.path.relative_to(ROOT / "tests").as_posix()
        return next((number for number, long in enumerate(LONG) if room.startswith(f"{long}/")), len(LONG))

    items.sort(key=place)


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Ever another folder, by counting: pytest's own looks through all that there are for the next, in ms."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def home(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Cache and data folders of the test's own."""
    folder = next(homes)
    folder.mkdir()
    monkeypatch.setenv("ONDEVICE_HOME", str(folder))
    return folder


@pytest.fixture
def data() -> Path:
    """The folder of real models and photos; the test is skipped where there is none."""
    folder = Path(os.environ.get("ONDEVICE_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip("no test data: set ONDEVICE_TEST_DATA to the folder with tflite/ and imagenet/")
    return folder


@pytest.fixture
def photos(data: Path, tmp_path: Path) -> Path:
    """A folder with every fifth of the photos, one hundred, and what they show."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for path in (data / "imagenet" / "labels.csv", *sorted((data / "imagenet").glob("*.JPEG"))[::5]):
        (folder / path.name).symlink_to(path)
    return folder


@pytest.fixture
def stranger(tmp_path: Path) -> Path:
    """A good .tflite file, float32 [1, H, W, 1] to [1, 10], that no card knows: appended bytes change its checksum."""
    path = tmp_path / "stranger.tflite"
    path.write_bytes(zoo.find("digits_xs_fp32").path.read_bytes() + bytes(16))
    return path


@pytest.fixture(scope="session")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The marks of the files that have passed their trials in the tests that use `tried`."""
    return tmp_path_factory.mktemp("passed")


@pytest.fixture
def tried(home: Path, passed: Path) -> None:
    """A file is tried, which takes a process, by the first of the tests that use this, and not by each."""
    (home / "cache").mkdir()
    (home / "cache" / "tried").symlink_to(passed)


@pytest.fixture
def sample() -> Path:
    """A bundled picture."""
    return min(zoo.samples_dir().glob("7/*.png"))


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the project, to build and to install from: that leaves something behind."""
    folder = tmp_path_factory.mktemp("checkout") / "ondevice"
    hidden = shutil.ignore_patterns(".venv", ".git", "build", "*.egg-info", "__pycache__", ".*_cache")
    return Path(shutil.copytree(ROOT, folder, ignore=hidden))


@pytest.fixture(scope="session")
def wheel_path(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the project makes."""
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(out), str(checkout)]
    subprocess.run(command, check=True, capture_output=True)
    return next(out.glob("*.whl"))


Cli = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    """Where `cli` runs its commands."""
    server = Forks()
    yield server
    server.close()


@pytest.fixture
def cli(forks: Forks) -> Cli:
    """Runs `ondevice` as a process of its own, as a user does, and hands back what it printed and its exit status."""

    def run(*arguments: object, stdin: bytes = b"", **environment: str) -> subprocess.CompletedProcess[str]:
        done = forks.run([*map(str, arguments)], stdin, {**os.environ, **environment})
        return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())

    return run
