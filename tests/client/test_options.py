"""What a client is told is checked before any model is loaded, which takes as long as the models are large."""

from __future__ import annotations

from typing import Any

import pytest

from ondevice import AsyncOffloadClient, OffloadClient
from ondevice.client import base
from ondevice.client.options import Options
from ondevice.errors import UsageError

NOWHERE = "http://127.0.0.1:9"
BAD: list[dict[str, Any]] = [
    {"sla_ms": 0},
    {"mode": "sometimes"},
    {"mode": "device", "local": []},
    {"mode": "auto", "endpoint": None},
    {"endpoint": "localhost:8000"},
    {"endpoint": "https://localhost", "options": Options(verify="/no/such/file")},
    {"options": Options(token="two\nlines")},
    {"options": Options(top=0)},
    {"options": Options(anytime=9)},
    {"options": Options(patience_ms=-1)},
    {"options": Options(confident=0)},
]


@pytest.mark.parametrize("kind", [OffloadClient, AsyncOffloadClient])
@pytest.mark.parametrize("bad", BAD, ids=lambda bad: " ".join(bad) + str(BAD.index(bad)))
def test_what_cannot_be_meant_is_told_before_a_model_is_loaded(
    kind: Any, bad: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []

    class Loading(base.Runner):
        def __init__(self, name: str) -> None:
            loaded.append(name)
            super().__init__(name)

    monkeypatch.setattr(base, "Runner", Loading)
    with pytest.raises(UsageError):
        kind(**{"endpoint": NOWHERE, "local": ["digits_xs_int8", "no_such_model"], **bad})
    assert loaded == []
