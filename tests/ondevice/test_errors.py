"""The errors: the tree that is drawn is the tree that there is, and nothing else is raised on purpose."""

from __future__ import annotations

import ast
import copy
import inspect
import json
import pickle
import re
from collections.abc import Iterator

from project import INSTALLED, ROOT

from ondevice import errors
from ondevice.errors import FailureKind, ImageError, OffloadError, OnDeviceError, RemoteError, ServeError, UpstreamError

DRAWN = re.compile(r"^    ([│├└─ ]*)(\w+)(?: +(.*))?$")


def tree() -> list[tuple[int, str, str]]:
    """The drawing: of each line the depth, the name and what is said of it."""
    rows = [match.groups() for line in (errors.__doc__ or "").splitlines() if (match := DRAWN.match(line))]
    return [(len(indent) // 4, name, said or "") for indent, name, said in rows]


def classes(base: type[Exception] = OnDeviceError, depth: int = 0) -> Iterator[tuple[int, type[Exception]]]:
    yield depth, base
    for below in base.__subclasses__():
        yield from classes(below, depth + 1)


def test_the_tree_that_is_drawn_is_the_tree_that_there_is() -> None:
    ours = {(depth, one.__name__) for depth, one in classes() if one.__module__.startswith("ondevice.")}
    assert {(depth, name) for depth, name, _ in tree()} == ours
    parents = {one.__name__: one.__mro__[1].__name__ for _, one in classes()}
    above: dict[int, str] = {}
    for depth, name, _ in tree():
        above[depth] = name
        assert depth == 0 or parents[name] == above[depth - 1]


def test_the_tree_says_what_each_carries() -> None:
    for _, name, said in tree():
        one = getattr(errors, name)
        assert set(re.findall(r"`\.(\w+)`", said)) == carried(one) - carried(one.__mro__[1]), name


def carried(one: type[Exception]) -> set[str]:
    """The names of what is given to it besides its message."""
    return set(inspect.signature(one.__init__).parameters) - {"self", "message", "args", "kwargs"}


def raised_classes(source: str) -> list[str]:
    """The exception classes that a module defines."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id.endswith(("Error", "Exception")) for base in node.bases)
    ]


# What is raised and caught within one room, where it stands for a way out and not for an error: users never see it.
# Or it is an OSError of a kind of ours, which whoever reads a file tells as any other.
WITHIN = ["ondevice/reading.py", "cloud/http/early.py"]


def test_every_public_error_stands_in_one_module() -> None:
    found = {
        str(path.relative_to(ROOT)): names
        for room in INSTALLED
        for path in (ROOT / room).rglob("*.py")
        if (names := [name for name in raised_classes(path.read_text(encoding="utf-8")) if not name.startswith("_")])
    }
    assert list(found) == ["ondevice/errors.py", *WITHIN]


def same(one: OnDeviceError, other: OnDeviceError) -> bool:
    return (type(one), one.args, vars(one)) == (type(other), other.args, vars(other))


def test_each_survives_pickling_with_all_that_it_carries() -> None:
    kinds = {kind for _, kind in classes() if kind.__module__.startswith("ondevice.")}
    assert len(kinds) > 20
    for kind in kinds:
        error = kind("it is wrong: mend it", **{name: f"the {name}" for name in carried(kind)})
        error.add_note("seen in a test")
        assert same(pickle.loads(pickle.dumps(error)), error), kind
        assert same(copy.copy(error), error), kind
        assert same(copy.deepcopy(error), error), kind
        assert str(pickle.loads(pickle.dumps(error))) == "it is wrong: mend it"
        assert carried(kind) <= vars(error).keys(), kind


def test_so_does_one_that_is_made_by_a_user() -> None:
    class OwnError(ImageError):
        def __init__(self, source: str) -> None:
            super().__init__(f"{source} is upside down", source)

    error = copy.deepcopy(OwnError("a.png"))
    assert type(error) is OwnError
    assert (str(error), error.source) == ("a.png is upside down", "a.png")


def test_a_failure_is_its_word() -> None:
    error = UpstreamError("it answers 401", FailureKind.DENIED)
    assert error.failure == "denied"
    assert f"{error.failure}" == "denied"
    assert error.failure in ("denied", "late")
    assert {error.failure: 1} == {"denied": 1}
    assert json.dumps({error.failure: 1}) == '{"denied": 1}'


def test_no_answer_from_elsewhere_is_one_kind_of_error() -> None:
    for one in (UpstreamError("x", FailureKind.LATE), OffloadError("x", FailureKind.LATE)):
        assert isinstance(one, RemoteError)
        assert not isinstance(one, ServeError), "that is the endpoint's own fault"
