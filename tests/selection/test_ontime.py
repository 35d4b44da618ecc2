"""The chance to be on time: by hand, against draws of the times themselves, and in parts."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest

from ondevice.selection.ontime import expected_ms, on_time
from ondevice.selection.problem import Models, Requests
from ondevice.timing.quantiles import LEVELS


def uniform(*ranges_ms: tuple[float, float]) -> Models:
    low, high = np.array(ranges_ms, float).T
    return Models(
        names=tuple(f"m{i}" for i in range(len(ranges_ms))),
        top1=np.full(len(ranges_ms), 0.5),
        mean_ms=(low + high) / 2,
        std_ms=(high - low) / 12**0.5,
        quantiles_ms=low[:, None] + (high - low)[:, None] * LEVELS,
    )


def test_by_hand() -> None:
    models = uniform((0, 20), (10, 30))
    requests = Requests(np.array([30.0, 50.0, 10.0]), np.array([10.0, 10.0, 8.0]), np.array([5.0, 10.0, 8.0]))
    assert on_time(models, requests) == pytest.approx(np.array([[0.75, 0.25], [1, 1], [0, 0]]))


def test_the_wait_is_each_model_s_own() -> None:
    models = uniform((0, 20), (0, 20))
    assert on_time(models, Requests.one(20, wait_ms=np.array([5, 15]))) == pytest.approx(np.array([[0.75, 0.25]]))
    assert on_time(models, Requests.one(20, wait_ms=5)) == pytest.approx(np.array([[0.75, 0.75]]))


def test_each_time_of_the_reply_is_as_likely() -> None:
    request = Requests.one(20, return_ms=1e9, reply_ms=np.array([0, 5, 10, 40]))
    assert on_time(uniform((0, 20)), request)[0, 0] == pytest.approx((1 + 0.75 + 0.5 + 0) / 4)


def test_the_deadline_itself_is_in_time() -> None:
    assert on_time(uniform((10, 10)), Requests.one(15, upload_ms=2, return_ms=3))[0, 0] == 1


def test_against_draws_of_the_times() -> None:
    rng = np.random.default_rng(0)
    models = uniform((0, 40), (20, 30), (60, 70))
    reply_ms = rng.lognormal(2.5, 0.6, 1000)
    total_ms = 12 + rng.choice(reply_ms, (100_000, 1)) + rng.uniform([0, 20, 60], [40, 30, 70], (100_000, 3))
    found = on_time(models, Requests.one(60, upload_ms=12, reply_ms=reply_ms))
    assert found[0] == pytest.approx((total_ms <= 60).mean(axis=0), abs=0.01)


def test_many_requests_are_worked_out_in_parts() -> None:
    rng = np.random.default_rng(0)
    models, n = uniform((0, 40), (20, 30)), 30_000
    requests = Requests(
        rng.uniform(0, 100, n), rng.uniform(0, 20, n), rng.uniform(0, 20, n), wait_ms=rng.uniform(0, 9, (n, 2)),
        reply_ms=rng.uniform(0, 40, (n, 3)),
    )  # fmt: skip
    found = on_time(models, requests)
    assert found.shape == (n, 2)
    assert requests.reply_ms is not None
    for row in range(0, n, 997):
        one = Requests.one(
            requests.sla_ms[row],
            requests.upload_ms[row],
            wait_ms=requests.wait_ms[row],
            reply_ms=requests.reply_ms[row],
        )
        assert found[row] == pytest.approx(on_time(models, one)[0])
    certain = replace(requests, reply_ms=None)
    assert on_time(models, certain) == pytest.approx(
        on_time(models, replace(requests, reply_ms=requests.return_ms[:, None]))
    )


def test_the_parts_bound_the_memory() -> None:
    n, points = 50_000, 21
    requests = Requests(*np.ones((3, n)), reply_ms=np.ones((n, points)))
    tracemalloc.start()
    on_time(uniform((0, 40), (20, 30)), requests)
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak_bytes < n * points * 2 * 8


def test_no_requests_are_no_chances() -> None:
    assert on_time(uniform((0, 40), (20, 30)), Requests(*np.zeros((3, 0)))).shape == (0, 2)


def test_the_expected_time() -> None:
    models = uniform((0, 20), (10, 30))
    requests = Requests(
        np.array([1.0, 2.0]), np.array([3.0, 4.0]), np.array([5.0, 6.0]), wait_ms=np.array([[1.0, 0.0]])
    )
    assert expected_ms(models, requests).tolist() == [[19.0, 28.0], [21.0, 30.0]]
