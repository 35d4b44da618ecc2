"""The event loop in which the connections of a module's tests are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import streams


@pytest.fixture(scope="module", autouse=True)
def engine() -> Iterator[streams.Engine]:
    """Ends with its module, and nothing must be left in it then: no task, and no socket that it watches."""
    with streams.running() as running:
        yield running
