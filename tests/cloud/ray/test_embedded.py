"""The folder of a Ray of the command's own."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from ondevice.cloud.ray.embedded import EmbeddedRay


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The system's temporary directory, with a name as short as it usually is."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="t") as folder:
        short = Path("/tmp") / Path(folder).name[:3]
        short.symlink_to(folder)
        monkeypatch.setattr(tempfile, "tempdir", str(short))
        yield short
        short.unlink()


def made() -> EmbeddedRay:
    return EmbeddedRay(connections=7, send_s=30.0, idle_s=75.0)


def test_its_token_is_its_users_alone_and_another_one_each_time(temporary: Path) -> None:
    one, other = made(), made()
    tokens = [(ray.folder / "token").read_text() for ray in (one, other)]
    assert len(set(tokens)) == 2
    assert {len(token) for token in tokens} == {64}
    for ray in (one, other):
        assert ray.folder.parent == temporary
        assert ray.folder.stat().st_mode & 0o077 == 0
        assert (ray.folder / "token").stat().st_mode & 0o077 == 0
        assert Path(ray.options(1)["_temp_dir"]).parent == ray.folder, "Ray opens its own one to all"
        ray.remove()
    assert list(temporary.iterdir()) == []


def test_what_nobody_uses_any_more_is_removed_and_nothing_else(temporary: Path) -> None:
    left, used = made(), made()
    strangers = temporary / "ondevice-data"
    strangers.mkdir()
    left._owned.close()  # as the system does when its process ends
    third = made()
    assert {path.name for path in temporary.iterdir()} == {used.folder.name, third.folder.name, strangers.name}
    used.remove()
    third.remove()


def test_where_sockets_would_have_too_long_names_it_is_in_tmp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ray = made()
    assert (ray.folder.parent, list(tmp_path.iterdir())) == (Path("/tmp"), [])
    ray.remove()
