"""Tokens that are read again by themselves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.app.tokens import Tokens
from ondevice.cloud.ray.replica import FreshTokens

OLD, NEW = "a" * 16, "b" * 16


class Told:
    """A log that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []

    def event(self, name: str, **fields: Any) -> None:
        self.events.append((name, fields))


def test_a_changed_file_counts_and_one_that_is_wrong_does_not(tmp_path: Path) -> None:
    path, log = tmp_path / "tokens", Told()
    path.write_text(OLD)
    tokens = Tokens(path)
    fresh = FreshTokens(tokens, log)  # type: ignore[arg-type]
    fresh.look()
    assert log.events == []
    changed = tmp_path / "new"
    changed.write_text(NEW)
    changed.replace(path)
    fresh.look()
    assert (tokens.allow(f"Bearer {OLD}"), tokens.allow(f"Bearer {NEW}")) == (False, True)
    path.unlink()
    fresh.look()
    fresh.look()
    assert tokens.allow(f"Bearer {NEW}")
    assert [name for name, _ in log.events] == ["reloaded", "not reloaded"]
    assert "what was read before still holds" in log.events[1][1]["error"]
