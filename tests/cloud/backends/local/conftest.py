"""A store of learned times, and what it tells."""

from __future__ import annotations

from pathlib import Path

import pytest
from events import Events
from saved_times import SETTING

from ondevice.cloud.backends.local.store import Store


@pytest.fixture
def notes() -> Events:
    return Events()


@pytest.fixture
def store(tmp_path: Path, notes: Events) -> Store:
    return Store(tmp_path / "times" / "p.json", SETTING, notes)
