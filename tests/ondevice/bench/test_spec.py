"""What one measurement is to do: what is refused, and the way to the child process as JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ondevice import records
from ondevice.bench.spec import Spec
from ondevice.errors import UsageError


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("warmup", 0, "--warmup must be from 1 to 1000000, not 0"),
        ("warmup", 10**6 + 1, "--warmup"),
        ("runs", 0, "--runs must be from 1 to 10000000, not 0"),
        ("runs", -5, "--runs .* not -5"),
        ("min_secs", -0.1, "--min-secs must be from 0 to 86400, not -0.1"),
        ("min_secs", float("nan"), "--min-secs .* not nan"),
        ("min_secs", float("inf"), "--min-secs .* not inf"),
        ("interval_ms", -1.0, "--interval must be from 0 to 3600000, not -1"),
        ("interval_ms", float("nan"), "--interval .* not nan"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_one_line(field: str, value: float, said: str) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        Spec("m", **{field: value})  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"threads": 2, "runtime": "litert", "device": "pixel-3", "warmup": 1, "runs": 1, "min_secs": 0.0, "seed": 7},
        {"interval_ms": 20.5, "images": ("a.png", "b.jpg"), "scaled_decode": False},
        {"scenario": {"scenario": "offline", "min_queries": 3, "log_dir": "logs"}},
    ],
)
def test_it_travels_as_json(fields: dict[str, Any]) -> None:
    spec = Spec("digits_xs_int8", **fields)
    again = records.read(Spec, json.loads(json.dumps(spec.as_dict())))
    assert again == spec
    assert {name: getattr(again, name) for name in fields} == fields
