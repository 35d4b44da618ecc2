"""CPU quotas as people type them."""

from __future__ import annotations

import pytest

from ondevice.errors import UsageError
from ondevice.limits import quota


@pytest.mark.parametrize(
    ("text", "cpus"), [("0.5", 0.5), ("50%", 0.5), ("50 %", 0.5), ("2", 2.0), ("5000%", 50.0), ("0", 0.0), ("-1", -1)]
)
def test_quota(text: str, cpus: float) -> None:
    assert quota.parse_quota(text) == cpus


@pytest.mark.parametrize("text", ["", "%", "half", "50%%", "nan", "inf", "0,5", "0.5 CPUs"])
def test_malformed_quota(text: str) -> None:
    with pytest.raises(UsageError, match="--cpu-quota takes"):
        quota.parse_quota(text)
