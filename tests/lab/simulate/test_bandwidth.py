"""Jellyfish's estimate of a bandwidth."""

from __future__ import annotations

import pytest

from ondevice.lab.simulate.bandwidth import ErrorFilter, JellyfishBandwidth


def test_a_steady_network_is_learned_at_once_and_the_wire_taken_off() -> None:
    bandwidth = JellyfishBandwidth(wire_ms=20.0)
    for at_ms in (0.0, 300.0, 600.0):
        bandwidth.learn(at_ms, 10_000, 118.0, model=1)
    # 100 bytes a ms, 0.9 of the wire believed; a transfer takes both ways besides.
    assert bandwidth.network_ms(5_000) == pytest.approx(50 + 40)


def test_the_last_second_counts_harmonically() -> None:
    bandwidth = JellyfishBandwidth(wire_ms=0.0)
    bandwidth.learn(0.0, 1_000, 1.0, model=0)  # forgotten by 1200
    bandwidth.learn(300.0, 1_000, 10.0, model=1)
    bandwidth.learn(1200.0, 1_000, 40.0, model=2)
    assert bandwidth.network_ms(1_000) == pytest.approx(25.0)


def test_the_filter_follows_where_it_errs_most() -> None:
    steady, jumped = ErrorFilter(), ErrorFilter()
    for value in (10.0, 10.0, 10.0):
        assert steady.update(value) == 10.0
    for value in (10.0, 20.0):
        last = jumped.update(value)
    assert last == 20.0  # the first error is the largest there was
    assert 20.0 < jumped.update(21.0) < 21.0  # a smaller one is followed in part


def test_at_first_ten_megabits() -> None:
    assert JellyfishBandwidth(wire_ms=0.0).network_ms(12_500) == pytest.approx(10.0)
