"""The pages: what they name is there, and the README is short."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
# `path/of/module.py`, or a folder: `lab/link/`; not what stands for a user's own files.
NAMED = re.compile(
    r"`((?:ondevice|models|converters|selection|cloud|client|lab|training|tests|benchmarks|docs|scripts)/[\w./-]*)`"
)
LINKED = re.compile(r"\]\(([^)#:]+?)(?:#[\w-]+)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    assert [
        link for link in LINKED.findall(page.read_text(encoding="utf-8")) if not (page.parent / link).exists()
    ] == []


def test_what_contributing_names_is_there() -> None:
    named = set(NAMED.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")))
    assert len(named) > 60
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_readme_is_short() -> None:
    assert (ROOT / "README.md").read_text(encoding="utf-8").count("\n") < 200
