"""The optional parts, as the package's own metadata has them."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from ondevice import extras

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
