"""What the way takes: figures by hand, and what is learned from requests that were answered, or given up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ondevice.client.network import NetworkEstimates, NetworkSample, OwnAddress
from ondevice.timing.arrays import FloatArray

# What a mobile link is taken for before anything is known, and what of a body comes with the first packet.
FIRST_MS, FIRST_MS_PER_BYTE, FIRST_BYTES = 60.0, 0.0008, 1_100
SMALL = range(2_000, 10_000, 700)
OTHER_MS = 2.0

times_ms = st.floats(0, 1e6)
events = st.lists(
    st.tuples(st.integers(0, 5_000_000), times_ms, st.one_of(st.none(), times_ms), st.booleans()), max_size=40
)


def sample(size_bytes: int, fixed_ms: float, ms_per_byte: float, seen: bool | None = True) -> NetworkSample:
    """A request over a link. seen: whether its server sees the sending; None: it says nothing of it."""
    upload_ms = ms_per_byte * max(size_bytes - FIRST_BYTES, 0)
    said = {True: upload_ms, False: 0.0, None: None}[seen]
    return NetworkSample(size_bytes, fixed_ms + upload_ms, said, OTHER_MS)


def learn(
    network: NetworkEstimates, sizes: Iterable[int], fixed_ms: float, ms_per_byte: float, seen: bool | None = True
) -> NetworkEstimates:
    for size_bytes in sizes:
        network.add(sample(size_bytes, fixed_ms, ms_per_byte, seen))
    return network


def taken_ms(size_bytes: int, fixed_ms: float, ms_per_byte: float) -> float:
    made = sample(size_bytes, fixed_ms, ms_per_byte)
    return made.network_ms + made.other_ms


def median_ms(network: NetworkEstimates, size_bytes: int) -> float:
    return float(network.points_ms(size_bytes)[10])


def mixed(count: int, seed: int = 0) -> list[int]:
    return np.random.default_rng(seed).choice(SMALL, count).tolist()


# Before the first request


def test_before_anything_is_known_it_is_a_mobile_link_more_or_less() -> None:
    network = NetworkEstimates()
    assert not network.known
    assert network.fixed_ms() == FIRST_MS
    assert median_ms(network, 10_000) == pytest.approx(FIRST_MS + FIRST_MS_PER_BYTE * 10_000, rel=0.2)
    points_ms = network.points_ms(10_000)
    assert points_ms[0] < 0.7 * points_ms[10] < 0.5 * points_ms[-1]


def test_a_connection_tells_the_round_trip_before_the_first_request() -> None:
    network = NetworkEstimates()
    network.connected(12.0)
    assert not network.known
    assert network.fixed_ms() == 12
    learn(network, [0] * 8, 50.0, 0.0)
    network.connected(12.0)
    assert network.fixed_ms() == 50, "a request tells more"


# From requests


def test_a_size_that_was_sent_is_foreseen_as_it_was() -> None:
    network = learn(NetworkEstimates(), [8_000] * 30, 60.0, 0.01)
    assert network.known
    assert network.points_ms(8_000) == pytest.approx(np.full(21, taken_ms(8_000, 60.0, 0.01)), rel=0.01)
    assert network.fixed_ms() == pytest.approx(60)


@pytest.mark.parametrize("ms_per_byte", [0.0002, 0.002, 0.02])
@pytest.mark.parametrize("sizes", [range(2_000, 5_000, 300), SMALL, range(10_000, 20_000, 1000)], ids=str)
def test_sizes_that_were_not_sent_are_foreseen(sizes: range, ms_per_byte: float) -> None:
    network = learn(NetworkEstimates(), [*sizes] * 4, 60.0, ms_per_byte)
    for size_bytes in (1_000, 3_000, 7_000, 15_000, 20_000):
        assert median_ms(network, size_bytes) == pytest.approx(taken_ms(size_bytes, 60.0, ms_per_byte), rel=0.1)
    expected = [ms_per_byte * (size_bytes - FIRST_BYTES) for size_bytes in (5_000, 20_000)]
    assert [network.sending_ms(5_000), network.sending_ms(20_000)] == pytest.approx(expected, rel=0.15, abs=1)


def test_links_that_come_in_bursts_keep_their_spread_for_every_size() -> None:
    """A picture comes together, or after 200 ms, whatever its size."""
    network, rng = NetworkEstimates(), np.random.default_rng(0)
    for size_bytes in mixed(60):
        network.add(NetworkSample(size_bytes, 60.0 + 200.0 * rng.integers(2), 0.5, OTHER_MS))
    for size_bytes in (2_000, 6_000, 12_000):
        points_ms = network.points_ms(size_bytes)
        assert 0.2 < (points_ms < 160).mean() < 0.8
        assert points_ms[2] < 90
        assert points_ms[-3] > 230


@pytest.mark.parametrize("times", [4.0, 0.25], ids=["falls", "recovers"])
@pytest.mark.parametrize("ms_per_byte", [0.001, 0.004, 0.01])
def test_a_rate_that_changes_is_followed_within_ten_small_requests(ms_per_byte: float, times: float) -> None:
    network = learn(NetworkEstimates(), mixed(40), 50.0, ms_per_byte)
    learn(network, mixed(10, seed=1), 50.0, times * ms_per_byte)
    for size_bytes in (5_000, 7_500, 10_000):
        assert median_ms(network, size_bytes) == pytest.approx(
            taken_ms(size_bytes, 50.0, times * ms_per_byte), rel=0.15
        )


def test_bodies_that_come_in_one_piece_tell_of_a_faster_link() -> None:
    network = learn(NetworkEstimates(), mixed(20), 50.0, 0.01)
    learn(network, [3_000] * 6, 50.0, 0.0)
    assert median_ms(network, 10_000) < 0.7 * taken_ms(10_000, 50.0, 0.01)


@pytest.mark.parametrize("seen", [False, None], ids=["sees it whole", "says nothing"])
def test_the_rate_shows_where_the_server_sees_nothing_of_it(seen: bool | None) -> None:
    network = learn(NetworkEstimates(), mixed(40), 60.0, 0.01, seen)
    for size_bytes in (2_500, 5_000, 9_000):
        assert median_ms(network, size_bytes) == pytest.approx(taken_ms(size_bytes, 60.0, 0.01), rel=0.2)


def test_a_server_that_says_nothing_of_its_times_has_no_network() -> None:
    network = NetworkEstimates()
    network.add(NetworkSample(5_000, 0.0, 0.0, 0.0))
    assert (network.known, network.fixed_ms()) == (True, 0.0)


def test_more_than_all_of_it_cannot_have_been_the_upload() -> None:
    network = NetworkEstimates()
    for _ in range(20):
        network.add(NetworkSample(8_000, 50.0, 80.0, 0.0))
    assert median_ms(network, 8_000) == pytest.approx(50, rel=0.02)


def test_many_sizes_at_once_are_each_by_itself() -> None:
    rng, network = np.random.default_rng(0), NetworkEstimates()
    sizes = np.array([[0, 1_000], [4_700, 300_000]])
    for size_bytes in mixed(40):
        alone = np.array([[network.points_ms(int(size)) for size in row] for row in sizes])
        assert network.points_ms(sizes).shape == (2, 2, 21)
        assert network.points_ms(sizes) == pytest.approx(alone)
        network.add(sample(size_bytes, *rng.lognormal([3, -6], [1, 1]).tolist()))


@given(events)
def test_whatever_has_come_points_never_fall_and_are_times(
    events: list[tuple[int, float, float | None, bool]],
) -> None:
    network = NetworkEstimates()
    for size_bytes, network_ms, upload_ms, answered in events:
        if answered:
            network.add(NetworkSample(size_bytes, network_ms, upload_ms, 1.0))
        else:
            network.add_late(size_bytes, network_ms)
    assert network.known == bool(events)
    for size_bytes in (0, 1, 5_000, 3_000_000):
        points_ms = network.points_ms(size_bytes)
        assert points_ms.shape == (21,)
        assert np.isfinite(points_ms).all()
        assert (np.diff(points_ms) >= 0).all()
        assert points_ms[0] > 0
    assert 0 <= network.fixed_ms() < np.inf
    assert 0 <= network.sending_ms(5_000) < np.inf


def test_another_network_starts_anew() -> None:
    network = learn(NetworkEstimates(), mixed(20), 10.0, 0.01)
    network.add_late(5_000, 900.0)
    network.connected(5.0)
    network.forget()
    assert not network.known
    assert network.points_ms(5_000).tolist() == NetworkEstimates().points_ms(5_000).tolist()
    assert network.reply() is None


# From requests that were given up


def later(network: NetworkEstimates, size_bytes: int, than_ms: float) -> float:
    return float((network.points_ms(size_bytes) > than_ms).mean())


def noisy(seed: int = 0) -> NetworkEstimates:
    """A link on which a request of 5 kB takes 20 to 180 ms, 95 in the median."""
    network, rng = NetworkEstimates(), np.random.default_rng(seed)
    for _ in range(40):
        fixed_ms = 15 + rng.uniform(0, 160)
        network.add(sample(5_000, fixed_ms, 0.001))
    return network


def test_what_nothing_had_come_of_is_taken_for_longer_than_that() -> None:
    network = NetworkEstimates()
    for _ in range(4):
        network.add_late(100_000, 280.0)
    assert network.known
    assert later(network, 100_000, 280.0) > 0.7
    assert network.reply() is not None, "of replies, too, it says something"


def test_what_was_given_up_early_says_that_it_is_none_of_the_fast_ones() -> None:
    network, given_up = noisy(), noisy()
    for _ in range(3):
        given_up.add_late(5_000, 80.0)
    assert given_up.points_ms(5_000)[2] > 1.1 * network.points_ms(5_000)[2]
    assert given_up.points_ms(5_000)[-1] < 2 * network.points_ms(5_000)[-1], "nor anything unheard of"


def test_what_is_always_late_is_soon_not_hoped_for() -> None:
    """However it began; what is smaller may still be in time."""
    network = NetworkEstimates()
    for _ in range(12):
        network.add_late(10_000, 150.0)
    assert later(network, 10_000, 150.0) > 0.9
    assert later(network, 2_000, 150.0) < later(network, 10_000, 150.0)


def test_a_small_picture_that_was_lost_says_more_of_the_fixed_part() -> None:
    small, large = (learn(NetworkEstimates(), mixed(20), 50.0, 0.004) for _ in range(2))
    for _ in range(3):
        small.add_late(2_000, 300.0)
        large.add_late(10_000, 300.0)
    assert later(small, 1_000, 200.0) > later(large, 1_000, 200.0) + 0.1
    assert small.fixed_ms() > large.fixed_ms()


def test_a_link_that_hangs_is_soon_expected_to_and_once_it_is_well_to_be_well() -> None:
    network = learn(NetworkEstimates(), mixed(20), 20.0, 0.001)
    for _ in range(6):
        network.add_late(6_000, 200.0)
    assert median_ms(network, 6_000) > 200
    learn(network, mixed(10), 20.0, 0.001)
    assert median_ms(network, 6_000) == pytest.approx(taken_ms(6_000, 20.0, 0.001), rel=0.1)


def test_silence_without_end_is_remembered_in_bounds() -> None:
    network, rng = noisy(), np.random.default_rng(1)
    for elapsed_ms in rng.lognormal(5, 1, 500).tolist():
        network.add_late(5_000, elapsed_ms)
    assert network._moments.count <= 64


# Threads


def test_what_is_foreseen_while_something_is_learned_is_of_before_or_after() -> None:
    network, seen = NetworkEstimates(), list[FloatArray]()
    one, other = (sample(5_000, fixed_ms, 0.0) for fixed_ms in (50.0, 60.0))
    for _ in range(40):
        network.add(one)

    def learned() -> None:
        for number in range(2000):
            network.add(one if number % 2 else other)

    writer = threading.Thread(target=learned)
    writer.start()
    while writer.is_alive():
        seen.append(network.points_ms(5_000))
    writer.join()
    found = np.array(seen)
    assert found.min() > 45 + OTHER_MS
    assert found.max() < 65 + OTHER_MS


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
