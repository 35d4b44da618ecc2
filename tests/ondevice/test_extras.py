"""The optional parts, as the package's own metadata has them."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from ondevice import extras
from ondevice.errors import MissingError

REQUIRES = [
    "numpy>=1.26",
    "numpy<2; platform_machine == 'armv7l'",
    'present-one>=2.21; python_version < "3.14" and extra == "convert"',
    "absent_two >= 1.5, < 2 ; extra == 'convert'",
    "Absent.Three; extra == 'serve'",
]


@pytest.fixture
def faked(monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name != "present-one":
            raise metadata.PackageNotFoundError(name)
        return "9.9"

    monkeypatch.setattr(metadata, "requires", lambda name: REQUIRES)
    monkeypatch.setattr(metadata, "version", version)


def test_the_requirements_come_from_the_metadata() -> None:
    found = extras.requirements()
    assert {"convert", "serve", "lab"} <= set(found)
    assert any(r.startswith("tensorflow>=") for r in found["convert"])
    assert any(r.startswith("httptools>=") for r in found["serve"])
    assert not any(r.startswith(("numpy", "pillow")) for each in found.values() for r in each)


@pytest.mark.usefixtures("faked")
def test_requirements_without_markers_and_without_the_core() -> None:
    assert extras.requirements() == {
        "convert": ["present-one>=2.21", "absent_two>= 1.5, < 2"],
        "serve": ["Absent.Three"],
    }


@pytest.mark.usefixtures("faked")
@pytest.mark.parametrize(
    ("extra", "missing"),
    [("convert", ["absent_two>= 1.5, < 2"]), ("serve", ["Absent.Three"]), ("no such extra", [])],
)
def test_what_is_missing(extra: str, missing: list[str]) -> None:
    assert extras.missing(extra) == missing


@pytest.mark.usefixtures("faked")
def test_how_to_install_quotes_for_the_shell() -> None:
    assert extras.how_to_install("convert") == "pip install 'absent_two>= 1.5, < 2'"
    assert extras.how_to_install("serve") == "pip install 'Absent.Three'"


@pytest.mark.usefixtures("faked")
def test_only_what_is_needed_is_asked_for() -> None:
    assert extras.missing("convert", "present-one") == []
    extras.require("convert", "converting", "present-one")
    with pytest.raises(MissingError, match="absent_two"):
        extras.require("convert", "converting", "present-one", "absent_two")


SIMULATE = ("simulate", "--models", "SET", "--network", "normal:mean=50,std=25", "--sla", "100", "--requests", "10")


@pytest.mark.parametrize(
    ("arguments", "asked", "unused"),
    [
        (("bench", "digits_xs_int8", "--plot", "PLOT"), "matplotlib", "simpy"),
        ((*SIMULATE, "--figure", "PLOT"), "matplotlib", "simpy"),
        ((*SIMULATE, "--load", "poisson:rate=1"), "simpy", "matplotlib"),
        (("convert", "mobilenet_v1_0.25_128", "--weights", "none"), "tensorflow", "scikit-learn"),
    ],
)
def test_commands_ask_for_what_they_use_alone(
    arguments: tuple[str, ...], asked: str, unused: str, tmp_path: Path
) -> None:
    done = lacking("True", arguments, tmp_path)
    assert f"run `pip install '{asked}>=" in done.stderr
    assert unused not in done.stderr
    assert done.returncode == 1
    if importlib.util.find_spec(asked) is None:
        pytest.skip(f"{asked} is not installed")
    done = lacking(f"name == {unused!r}", arguments, tmp_path)
    assert "pip install" not in done.stderr


def lacking(absent: str, arguments: tuple[str, ...], folder: Path) -> subprocess.CompletedProcess[str]:
    """`ondevice` as if no distribution were installed of which `absent` is true. What it converts, it cannot put away,
    which it says before it converts."""
    (folder / "set.csv").write_text("model,top1,mean_ms,std_ms\nsmall,0.5,10,1\n")
    named = {"PLOT": "plot.png", "SET": "set.csv"}
    program = (
        "from ondevice import extras\nreal = extras._installed\n"
        f"extras._installed = lambda name: not ({absent}) and real(name)\n"
        "from ondevice.cli import main\nmain()"
    )
    given = [str(folder / named[argument]) if argument in named else argument for argument in arguments]
    quick = {"bench": ["--runs", "1", "--min-secs", "0"], "convert": ["--out", str(folder / "set.csv")]}
    command = [sys.executable, "-c", program, *given, *quick.get(given[0], [])]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("requires", [None, []])
def test_a_package_without_requirements(requires: list[str] | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "requires", lambda name: requires)
    assert extras.requirements() == {}


def test_where_the_package_is_not_installed_nothing_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(extras, "DISTRIBUTION", "no-such-distribution-at-all")
    assert extras.requirements() == {}
    assert extras.missing("convert") == []


def test_training_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from training import family

    monkeypatch.setattr(extras, "_installed", lambda distribution: distribution != "scikit-learn")
    with pytest.raises(SystemExit, match=r"^ondevice: error: training needs .*pip install 'scikit-learn>="):
        family.main(["--out", str(tmp_path / "out")])
    assert not (tmp_path / "out").exists()
