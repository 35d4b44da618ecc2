"""What the way takes: figures by hand, and what is learned from requests that were answered, or given up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence

import numpy as np
import pytest

from ondevice.client.network import NetworkEstimates, NetworkSample, OwnAddress

# What a mobile link is taken for before anything is known.
FIRST_MS, FIRST_MS_PER_BYTE = 60.0, 0.0008
KEPT, HALF_LIFE = 32, 6


def told(*samples: NetworkSample) -> NetworkEstimates:
    network = NetworkEstimates()
    for sample in samples:
        network.add(sample)
    return network


def weighted_median(values: Sequence[float]) -> float:
    """The last value weighs most; each stands at the middle of its weight, the smallest at 0, the largest at 1."""
    weights = [0.5 ** ((len(values) - 1 - place) / HALF_LIFE) for place in range(len(values))]
    ranked = sorted(zip(values, weights, strict=True))
    middles = [sum(weight for _, weight in ranked[:place]) + ranked[place][1] / 2 for place in range(len(ranked))]
    heights = [(middle - middles[0]) / (middles[-1] - middles[0]) for middle in middles]
    return float(np.interp(0.5, heights, [value for value, _ in ranked]))


# Before the first request


def test_before_anything_is_known_it_is_a_mobile_link() -> None:
    network = NetworkEstimates()
    assert not network.known
    assert network.fixed_ms() == FIRST_MS
    assert network.sending_ms(100_000) == pytest.approx(FIRST_MS_PER_BYTE * 100_000)
    assert network.points_ms(100_000) == pytest.approx(np.full(21, FIRST_MS + 80))


def test_a_connection_tells_the_round_trip_before_the_first_request() -> None:
    network = NetworkEstimates()
    network.connected(12.0)
    assert not network.known
    assert (network.fixed_ms(), network.points_ms(0)[10]) == (12, 12)
    network.add(NetworkSample(50, 0, 0))
    assert network.fixed_ms() == 50, "a request tells more"


# From requests


def test_one_request() -> None:
    network = told(NetworkSample(10, 0.01, 2))
    assert network.known
    assert (network.fixed_ms(), network.sending_ms(500)) == (10, 5)
    assert network.points_ms(1000) == pytest.approx(np.full(21, 22))


def test_two_requests() -> None:
    network = told(NetworkSample(10, 0.01, 2), NetworkSample(30, 0.01, 2))
    assert network.points_ms(1000) == pytest.approx(np.linspace(22, 42, 21))
    assert network.fixed_ms() == pytest.approx(20)


def test_the_three_parts_of_a_request_stay_together() -> None:
    network = told(NetworkSample(10, 0.03, 0), NetworkSample(30, 0.01, 0))
    assert network.points_ms(1000) == pytest.approx(np.full(21, 40)), "neither 20 nor 60, which no request took"


def test_recent_requests_weigh_more() -> None:
    values = [10.0] * 20
    for more in range(12):
        network = told(*(NetworkSample(value, value / 1000, 0) for value in [*values, *[30.0] * more]))
        expected = weighted_median([*values, *[30.0] * more])
        assert network.fixed_ms() == pytest.approx(expected)
        assert network.sending_ms(1000) == pytest.approx(expected)
    assert network.fixed_ms() == 30, "eleven newer ones have more than half of the weight"


@pytest.mark.parametrize("count", [1, 31, 32, 33, 64, 100])
def test_only_so_many_are_kept(count: int) -> None:
    network = told(*[NetworkSample(1000, 0, 0)] * count, *[NetworkSample(1, 0, 0)] * (KEPT - 1))
    assert network.points_ms(0)[-1] == 1000
    network.add(NetworkSample(1, 0, 0))
    assert network.points_ms(0) == pytest.approx(np.ones(21))


def test_points_never_fall_and_lie_among_the_requests() -> None:
    rng = np.random.default_rng(0)
    network = NetworkEstimates()
    for _ in range(200):
        network.add(NetworkSample(*rng.lognormal([3, -6, 1], [1, 1, 2]).tolist()))
        for size_bytes in (0, 1000, 300_000):
            points_ms = network.points_ms(size_bytes)
            assert points_ms.shape == (21,)
            assert (np.diff(points_ms) >= 0).all()
            assert points_ms[0] >= 0
        assert network.sending_ms(2000) == pytest.approx(2 * network.sending_ms(1000))


def test_many_sizes_at_once_are_each_by_itself() -> None:
    rng, network = np.random.default_rng(0), NetworkEstimates()
    sizes = np.array([[0, 1_000], [4_700, 300_000]])
    for _ in range(40):
        alone = np.array([[network.points_ms(int(size)) for size in row] for row in sizes])
        assert network.points_ms(sizes).shape == (2, 2, 21)
        assert network.points_ms(sizes) == pytest.approx(alone)
        network.add(NetworkSample(*rng.lognormal([3, -6, 1], [1, 1, 2]).tolist()))


def test_another_network_starts_anew() -> None:
    network = told(*[NetworkSample(10, 0.01, 2)] * 3)
    network.connected(5.0)
    network.forget()
    assert not network.known
    assert network.points_ms(0) == pytest.approx(np.full(21, FIRST_MS))
    network.add(NetworkSample(20, 0, 0))
    assert network.points_ms(0) == pytest.approx(np.full(21, 20)), "nothing of the old one is left"


# From requests that were given up


def test_what_was_given_up_before_it_was_expected_tells_nothing() -> None:
    network = told(NetworkSample(50, 0.01, 10))
    network.add_late(4000, 99.0)
    assert network.points_ms(4000) == pytest.approx(np.full(21, 100))
    unknown = NetworkEstimates()
    unknown.add_late(100_000, 139.0)
    assert not unknown.known


def test_what_was_given_up_later_would_have_taken_half_as_much_again() -> None:
    network = NetworkEstimates()
    network.add_late(100_000, 280.0)  # twice what a mobile link takes
    assert network.known
    assert network.points_ms(100_000) == pytest.approx(np.full(21, 1.5 * 280))
    assert network.fixed_ms() == pytest.approx(3 * FIRST_MS)
    assert network.sending_ms(1) == pytest.approx(3 * FIRST_MS_PER_BYTE)


def test_the_server_s_own_time_is_not_taken_for_longer() -> None:
    network = told(NetworkSample(50, 0.0, 50))
    network.add_late(0, 200.0)
    assert network.fixed_ms() == pytest.approx((50 + 50 * 3) / 2)
    assert network.points_ms(0)[[0, -1]] == pytest.approx([100, 200])


def test_a_link_that_hangs_is_soon_expected_to() -> None:
    network = told(*[NetworkSample(20, 0.0001, 1)] * 20)
    for _ in range(8):
        network.add_late(100_000, 200.0)
    assert network.points_ms(100_000)[10] > 200
    for _ in range(12):
        network.add(NetworkSample(20, 0.0001, 1))
    assert network.points_ms(100_000)[10] == pytest.approx(31), "and once it is well, to be well"


# What is sending and what is not


LARGE = 100_000


def test_the_server_tells_what_sending_took() -> None:
    network = NetworkEstimates()
    assert network.split(LARGE, 50.0, 30.0) == (20, 0.0003)
    assert network.split(LARGE, 50.0, 0.0) == (50, 0)
    assert network.split(LARGE, 50.0, 80.0) == (0, 0.0005), "it cannot be more than all"


def test_without_that_all_beyond_a_connection_s_round_trip_is_sending() -> None:
    network = NetworkEstimates()
    assert network.split(LARGE, 50.0, None) == (0, 0.0005)
    network.connected(20.0)
    assert network.split(LARGE, 50.0, None) == (20, 0.0003)
    assert network.split(LARGE, 10.0, None) == (10, 0), "sooner than a connection"


def test_a_small_request_tells_nothing_of_the_rate() -> None:
    network = NetworkEstimates()
    network.add(NetworkSample(20, 0.001, 1))
    assert network.split(3000, 50.0, 0.0) == (47, 0.001)
    assert network.split(3000, 1.5, 0.0) == (0, 0.0005), "but it cannot have taken longer than all"
    assert network.split(0, 50.0, None) == (50, 0.001)


# Threads


def test_samples_are_whole_for_several_threads() -> None:
    network, sums_ms = told(NetworkSample(50, 50, 0)), []

    def learn(seed: int) -> None:
        for fixed_ms in np.random.default_rng(seed).integers(0, 101, 1000).tolist():
            network.add(NetworkSample(fixed_ms, 100 - fixed_ms, 0))

    def read() -> None:
        sums_ms.extend(network.points_ms(1) for _ in range(1000))

    threads = [threading.Thread(target=learn, args=(seed,)) for seed in range(3)]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert np.array(sums_ms) == pytest.approx(np.full((2000, 21), 100))


# Another network


def test_another_own_address_is_another_network() -> None:
    own = OwnAddress()
    told = [own.changed(socket.AF_INET, local) for local in ("10.0.0.2", "10.0.0.2", "192.168.1.7", "10.0.0.2")]
    assert told == [False, False, True, True]


def test_falling_back_to_another_family_is_not() -> None:
    own = OwnAddress()
    took = [(socket.AF_INET6, "fd00::2"), (socket.AF_INET, "10.0.0.2"), (socket.AF_INET6, "fd00::2")]
    assert [own.changed(family, local) for family, local in took] == [False, False, False]
    assert own.changed(socket.AF_INET, "192.168.1.7")


def test_what_was_known_of_the_other_family_belongs_to_the_network_before() -> None:
    own = OwnAddress()
    own.changed(socket.AF_INET6, "fd00::2")
    own.changed(socket.AF_INET, "10.0.0.2")
    assert own.changed(socket.AF_INET, "192.168.1.7")
    assert not own.changed(socket.AF_INET6, "fd07::7"), "the first of its family there"
