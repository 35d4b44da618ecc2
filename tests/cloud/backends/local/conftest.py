"""A store of learned times, and what it tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from saved_times import SETTING, Notes, teller

from ondevice.cloud.backends.local.store import Store


@pytest.fixture
def notes() -> Notes:
    return []


@pytest.fixture
def store(tmp_path: Path, notes: Notes) -> Store:
    return Store(tmp_path / "times" / "p.json", SETTING, teller(notes))
