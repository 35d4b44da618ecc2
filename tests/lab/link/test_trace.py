"""Traces: Mahimahi's files, a steady rate, and when bytes pass."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ondevice.errors import OnDeviceError, UsageError
from ondevice.lab.link.trace import PACKET_BYTES, Cursor, Trace

# Two opportunities at once, and one at the end of the period.
SMALL = Trace(np.array([2.0, 5.0, 5.0, 10.0]), 10.0)


def written(folder: Path, text: str) -> Path:
    path = folder / "some.trace"
    path.write_text(text)
    return path


def opportunities(trace: Trace, periods: int) -> list[float]:
    """All times, written out."""
    return [float(stamp + i * trace.period_ms) for i in range(periods) for stamp in trace.stamps_ms]


def passed(trace: Trace, at_ms: float, size: int) -> float:
    """When `size` bytes offered at `at_ms` have passed, by counting."""
    left, last = size, at_ms
    for time_ms in opportunities(trace, 40):
        if time_ms >= at_ms and left > 0:
            left, last = left - trace.opportunity_bytes, time_ms
    assert left <= 0
    return last


def test_a_file_is_read(tmp_path: Path) -> None:
    trace = Trace.load(written(tmp_path, "2\r\n5\n5\n10"))
    assert trace.stamps_ms.tolist() == [2, 5, 5, 10]
    assert (trace.period_ms, trace.opportunity_bytes) == (10, 1500)
    assert trace.mean_bps == pytest.approx(4 * 1500 * 8 / 0.010)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("0\n0\n", "line 2: it ends at 0 ms"),
        ("1\nx\n", "line 2: 'x' is not a time in ms"),
        ("1\n\n2\n", "line 2: '' is not a time in ms"),
        ("1.5\n", "line 1: '1.5' is not a time in ms"),
        ("-1\n", "line 1: '-1' is not a time in ms"),
        ("9999999999999\n", "line 1: '9999999999999' is not a time"),
        ("3\n7\n5\n", "line 3: 5 ms comes after 7 ms; the times must ascend"),
        ("\N{SUPERSCRIPT TWO}\n", "line 1"),
    ],
)
def test_what_is_no_trace_is_named_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(OnDeviceError, match=said) as caught:
        Trace.load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OnDeviceError, match=r"nothing cannot be read: no such file"):
        Trace.load(tmp_path / "nothing")


@pytest.mark.parametrize("bps", [300.0, 64e3, 1e6, 3.3e6, 20e6, 1e9])
def test_a_steady_rate_is_that_rate_from_the_start(bps: float) -> None:
    trace = Trace.constant(bps)
    assert trace.mean_bps == pytest.approx(bps)
    size = 100 * trace.opportunity_bytes
    assert trace.passed_ms(0, size) == pytest.approx(size * 8e3 / bps)
    # Fine enough that a packet does not wait noticeably for its turn.
    assert trace.opportunity_bytes == 1 or trace.period_ms <= 0.2


@pytest.mark.parametrize("bps", [0, -1, float("nan"), float("inf")])
def test_a_rate_is_above_0(bps: float) -> None:
    with pytest.raises(UsageError, match="above 0"):
        Trace.constant(bps)


def test_bytes_pass_with_the_opportunities_that_come() -> None:
    at_ms = np.array([0, 2, 2.5, 5, 5.1, 9, 10, 10.1, 27])
    sizes = np.array([[1], [1500], [1501], [4500], [20_000]])
    expected = [[passed(SMALL, at, size) for at in at_ms] for size in sizes[:, 0]]
    assert SMALL.passed_ms(at_ms, sizes).tolist() == expected


def test_nothing_passes_at_once() -> None:
    assert SMALL.passed_ms([0, 3.5, 12], 0).tolist() == [0, 3.5, 12]


def test_deliverable_counts_the_opportunities_between() -> None:
    times = np.array(opportunities(SMALL, 5))
    for start in np.arange(0, 20, 0.5):
        ends = np.arange(start, 40, 0.5)
        counted = [1500 * int(((times >= start) & (times < end)).sum()) for end in ends]
        assert SMALL.deliverable(start, ends).tolist() == counted


def test_a_stamp_at_0_comes_again_with_each_period() -> None:
    trace = Trace(np.array([0.0, 4.0]), 4.0)
    assert trace.times_ms([0, 1, 2, 3]).tolist() == [0, 4, 4, 8]
    assert trace.deliverable(0, [0.5, 4, 4.5, 8.5]).tolist() == [1500, 1500, 4500, 7500]


def test_a_queue_shares_opportunities_and_loses_what_it_leaves() -> None:
    cursor = Cursor(SMALL, 100)
    # Two halves share the first; the third packet spans the two at 5; the rest of those is lost by 6.
    assert [cursor.serve(100, size) for size in (750, 750, 1600)] == [102, 102, 105]
    assert cursor.serve(106, 1) == 110
    assert cursor.serve(106, 1499) == 110
    assert cursor.serve(106, 1) == 112


def test_a_queue_that_is_never_empty_passes_what_the_trace_lets_pass() -> None:
    rng = np.random.default_rng(5)
    trace = Trace(np.sort(rng.integers(1, 500, 200)).astype(float), 500.0)
    cursor = Cursor(trace, 0)
    sizes = rng.integers(1, PACKET_BYTES, 1000)
    got = [cursor.serve(0, int(size)) for size in sizes]
    assert got == trace.passed_ms(0, np.cumsum(sizes)).tolist()


def test_the_recorded_traces_let_pass_what_is_in_them(data: Path) -> None:
    folder = data / "traces"
    if not folder.is_dir():
        pytest.skip("no recorded traces beside the test data")
    for path in sorted(folder.iterdir()):
        trace = Trace.load(path)
        lines = [int(line) for line in path.read_text().split()]
        assert trace.deliverable(0, 3 * trace.period_ms + 0.5) >= 3 * 1500 * len(lines)
        # In the second period, just after the first thousand lines, as many have come.
        after = lines[999] + trace.period_ms + 0.5
        assert trace.deliverable(trace.period_ms + 0.5, after) == 1500 * sum(
            0.5 <= line <= lines[999] for line in lines
        )
