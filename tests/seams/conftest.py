"""An endpoint for all that harms none: each start costs seconds."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from serving import Endpoint


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """`ondevice serve` as it is without flags, with the bundled family. Whoever unloads a model loads it again."""
    with Endpoint(tmp_path_factory.mktemp("endpoint")) as running:
        yield running
        assert running.log("internal error") == []
        assert running.log("worker died") == []
