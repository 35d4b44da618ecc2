"""Servers that behave, and who asks them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from asker import Asker
from good_endpoint import endpoint
from rude import Answers, Behaviour, Rude


@pytest.fixture
def context() -> Iterator[Any]:
    """Makes a server of a behaviour, and who asks it; both end with the test."""
    made: list[tuple[Rude, Asker]] = []

    def make(behaviour: Behaviour, told: Answers | None = endpoint, **more: Any) -> tuple[Rude, Asker]:
        server = Rude(behaviour, told=told)
        made.append((server, Asker(server, **more)))
        return made[-1]

    yield make
    for server, asker in made:
        asker.close()
        server.close()
