"""Settings that LoadGen can run, and those that it cannot."""

from __future__ import annotations

from typing import Any

import pytest

from ondevice.bench.mlperf.settings import ScenarioSettings
from ondevice.errors import UsageError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"scenario": "burst"}, "no scenario 'burst': choose single-stream, multi-stream, server, offline"),
        ({"min_queries": 0}, "the least queries must be from 1 to 10000000, not 0"),
        ({"min_duration_s": -1.0}, "the least duration in seconds must be from 0 to 86400, not -1"),
        ({"min_duration_s": float("nan")}, "the least duration in seconds must be from 0 to 86400, not nan"),
        ({"target_qps": 0.0}, "the queries per second must be from 0.001 to 1000000, not 0"),
        ({"latency_bound_ms": 0.0}, "the latency bound in ms must be from 0.001 to 3600000, not 0"),
        ({"samples_per_query": 0}, "the samples per query must be from 1 to 10000, not 0"),
        ({"seed": -1}, "the seed must be from 0 to 4294967295, not -1"),
    ],
)
def test_settings_that_cannot_be_run(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        ScenarioSettings(**{"scenario": "server"} | changes)
    assert str(caught.value) == message
