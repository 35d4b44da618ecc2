"""The shape of the house: small files and functions, one class a name, and a reason for every chosen number."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

from project import INSTALLED, ROOT

MODULES = sorted(path.relative_to(ROOT) for room in INSTALLED for path in (ROOT / room).rglob("*.py"))
MOST_LINES, MOST_FUNCTION_LINES = 400, 60
# Numbers that choose nothing: none, one, and the step to the next.
NEUTRAL = {0, 1, -1}
# Class names that stand in several modules, and why.
TWICE: dict[str, str] = {}
# Not plain English: "is no URL" for "is not a URL"; and docstrings that lean on their neighbour.
ODD_NO = re.compile(
    r"\b(?:is|are|was|were) no (?!longer|more|other|one\b|such|way|reason|room|need|time\b|answer\b)[A-Za-z]+"
)
LEANING = re.compile(r"^(?:The same\b|As above|See above|Likewise|It is\.|It does\.|As (?:the|in) (?:other|last))")


@cache
def source(module: Path) -> str:
    return (ROOT / module).read_text(encoding="utf-8")


@cache
def tree(module: Path) -> ast.Module:
    return ast.parse(source(module))


def numbers_without_a_reason(text: str) -> list[str]:
    """Module-level assignments of numbers that have no comment on their line or directly above."""
    lines = text.splitlines()
    found = []
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None or not _chosen(node.value):
            continue
        own = lines[node.lineno - 1 : node.end_lineno]
        if not lines[node.lineno - 2].lstrip().startswith("#") and not any(re.search(r"(?:^|\s)# ", s) for s in own):
            found.append(f"{node.lineno}: {own[0]}")
    return found


def _chosen(value: ast.expr) -> bool:
    """Whether a number other than the neutral ones stands in the expression, not counting what functions inside do."""
    return any(
        isinstance(node, ast.Constant)
        and isinstance(node.value, int | float)
        and not isinstance(node.value, bool)
        and node.value not in NEUTRAL
        for node in _outside_functions(value)
    )


def _outside_functions(node: ast.AST) -> Iterator[ast.AST]:
    yield node
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.Lambda):
            yield from _outside_functions(child)


def test_the_rules_find_what_they_are_for() -> None:
    assert numbers_without_a_reason("A = 0\n\nB = 3\n") == ["3: B = 3"]
    assert numbers_without_a_reason("# Three are enough.\nB = 3\nC = 4  # one more\n") == []
    assert numbers_without_a_reason("# Three are enough.\nB = 3\nC = 4\n") == ["3: C = 4"]
    assert ODD_NO.search("it is no URL")
    assert not ODD_NO.search("it is no longer there")


def test_every_number_has_its_reason() -> None:
    assert each(lambda module: numbers_without_a_reason(source(module))) == {}


def test_files_and_functions_are_small() -> None:
    assert [str(module) for module in MODULES if source(module).count("\n") > MOST_LINES] == []
    assert each(long_functions) == {}


def test_the_words_are_plain() -> None:
    assert each(lambda module: [line.strip() for line in source(module).splitlines() if ODD_NO.search(line)]) == {}


def test_docstrings_stand_alone() -> None:
    assert each(leaning) == {}


def each(rule: Callable[[Path], list[str]]) -> dict[str, list[str]]:
    """What a rule finds, by module; of those where it finds something."""
    return {str(module): found for module in MODULES if (found := rule(module))}


def long_functions(module: Path) -> list[str]:
    functions = (n for n in ast.walk(tree(module)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return [f.name for f in functions if (f.end_lineno or 0) - f.lineno >= MOST_FUNCTION_LINES]


def leaning(module: Path) -> list[str]:
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in ast.walk(tree(module)) if isinstance(node, documented)]
    return [text.splitlines()[0] for text in texts if LEANING.match(text)]


def test_a_class_name_means_one_thing() -> None:
    places = defaultdict(list)
    for module in MODULES:
        for node in ast.walk(tree(module)):
            if isinstance(node, ast.ClassDef):
                places[node.name.lstrip("_")].append(str(module))
    assert {name: found for name, found in places.items() if len(found) > 1 and name not in TWICE} == {}
    assert set(TWICE) <= {name for name, found in places.items() if len(found) > 1}
    assert len(TWICE) <= 5
