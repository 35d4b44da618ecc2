"""When what was not wanted is tried again."""

from __future__ import annotations

import pytest

from ondevice.resilience.backoff import Backoff


def test_pauses_double_up_to_the_longest() -> None:
    backoff, now, pauses = Backoff(5.0, 30.0), 100.0, []
    for _ in range(5):
        assert backoff.allows(now)
        backoff.failed(now)
        begun = now
        while not backoff.allows(now):
            now += 0.5
        pauses.append(now - begun)
    assert pauses == [5.0, 10.0, 20.0, 30.0, 30.0]


def test_several_that_fail_together_are_one_failure() -> None:
    backoff = Backoff(5.0, 30.0)
    for _ in range(4):
        backoff.failed(100.0)
    assert not backoff.allows(104.9)
    assert backoff.allows(105.0)


@pytest.mark.parametrize("failures", [0, 1, 3])
def test_a_success_begins_anew(failures: int) -> None:
    backoff = Backoff(5.0, 30.0)
    for number in range(failures):
        backoff.failed(100.0 * number)
    backoff.succeeded()
    assert backoff.allows(0.0)
    backoff.failed(1000.0)
    assert not backoff.allows(1004.9)
    assert backoff.allows(1005.0)
