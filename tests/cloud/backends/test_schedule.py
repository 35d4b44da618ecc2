"""The queue as a schedule, on a given clock: who comes first, when each begins, and what newcomers do to the others."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import pytest

from ondevice.cloud.backends.schedule import Schedule


class Piece(NamedTuple):
    name: str
    due: float
    expected_ms: float = 100.0
    latest: float = math.inf


def schedule(*pieces: Piece) -> Schedule[Piece]:
    made: Schedule[Piece] = Schedule()
    for piece in pieces:
        made.add(piece)
    return made


def test_what_is_due_first_comes_first_and_of_equals_what_came_first() -> None:
    queue = schedule(Piece("late", 9.0), Piece("one", 5.0), Piece("soon", 1.0), Piece("two", 5.0))
    assert [queue.pop().name for _ in range(4)] == ["soon", "one", "two", "late"]
    with pytest.raises(IndexError):
        queue.pop()


def test_newcomers_wait_for_what_is_due_before_them_alone() -> None:
    outlook = schedule(Piece("a", 1.0), Piece("b", 2.0), Piece("c", 3.0)).outlook([10.0], 10.0)
    starts = [outlook.start(due) for due in (0.5, 1.0, 2.5, math.inf)]
    assert starts == pytest.approx([10.0, 10.1, 10.2, 10.3])


def test_several_workers_take_what_comes_next_as_they_are_free() -> None:
    outlook = schedule(*(Piece(str(due), due) for due in range(4))).outlook([10.0, 10.05], 10.0)
    assert outlook.starts == pytest.approx([10.0, 10.05, 10.1, 10.15, 10.2])


def test_there_is_room_as_far_as_those_behind_can_wait() -> None:
    """a could begin 0.5 s later than it will, b 0.2 s: what comes before b alone has less room than it seems."""
    outlook = schedule(Piece("a", 11.0, latest=10.5), Piece("b", 12.0, latest=10.3)).outlook([10.0], 10.0)
    rooms_ms = [outlook.room_ms(due) for due in (10.5, 11.5, 12.5)]
    assert rooms_ms == pytest.approx([200.0, 200.0, math.inf])


def test_a_newcomer_that_keeps_to_its_room_makes_nobody_late() -> None:
    """Whatever stands in the queue: all that could begin in time without it still can."""
    for seed in range(200):
        pieces = [
            Piece(str(i), 10 + (seed * 37 + i * 61) % 97 / 50, 1.0 + (seed * 13 + i * 29) % 40) for i in range(12)
        ]
        pieces = [piece._replace(latest=piece.due - 0.05) for piece in pieces]
        free, due = [10.0, 10.0 + seed % 7 / 100], 10 + seed % 90 / 50
        before = schedule(*pieces)
        outlook = before.outlook(free, 10.0)
        in_time = {p.name for p, start in zip(before, outlook.starts, strict=False) if start <= p.latest}
        room_ms = outlook.room_ms(due)
        if room_ms <= 0 or math.isinf(room_ms):
            continue
        after = schedule(*pieces, Piece("new", due, room_ms))
        starts = after.outlook(free, 10.0).starts
        still = {p.name for p, start in zip(after, starts, strict=False) if start <= p.latest + 1e-9}
        assert in_time <= still


def test_what_is_too_late_already_is_no_reason_to_refuse_others() -> None:
    outlook = schedule(Piece("lost", 11.0, latest=9.9), Piece("well", 12.0, latest=11.0)).outlook([10.0], 10.0)
    assert outlook.room_ms(10.5) == pytest.approx(900.0)


def test_the_fill_is_that_of_who_has_least_time_to_spare() -> None:
    patient, pressed = Piece("patient", 20.0, latest=19.0), Piece("pressed", 11.0, latest=10.4)
    assert schedule(patient).outlook([10.0], 10.0).fill == 0.0
    assert schedule(patient, pressed).outlook([10.0], 10.0).fill == pytest.approx(0.1 / 9.0)
    assert schedule(patient, pressed).outlook([10.3], 10.0).fill == pytest.approx(0.75)
    assert schedule(patient, pressed).outlook([12.0], 10.0).fill == 1.0
    assert schedule().outlook([12.0], 10.0).fill == 0.0


def test_what_has_expired_is_taken_out_wherever_it_stands() -> None:
    queue = schedule(Piece("a", 1.0), Piece("b", 2.0), Piece("c", 3.0))
    assert [piece.name for piece in queue.take_expired(lambda piece: piece.due != 2.0)] == ["a", "c"]
    assert [piece.name for piece in queue] == ["b"]


def test_what_nobody_waits_for_any_more_is_taken_out_and_nothing_else() -> None:
    one, other, gone = Piece("one", 5.0), Piece("other", 5.0), Piece("gone", 5.0)
    queue = schedule(one, gone, other)
    queue.remove(gone)
    queue.remove(gone)
    assert [piece.name for piece in queue] == ["one", "other"]
    assert queue.outlook([10.0], 10.0).start(9.0) == pytest.approx(10.2)


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_long_queue_is_foreseen_as_a_short_one_is_to_a_part_of_one_piece(workers: int) -> None:
    """300 pieces of 1 to 40 ms: worker by worker, and all at once."""
    pieces = [Piece(str(i), i / 10, 1.0 + i * 29 % 40, latest=10.0 + i / 5 + i * 7 % 5) for i in range(300)]
    queue, free = schedule(*pieces), [10.0 + i / 100 for i in range(workers)]
    near, far = queue._near(free, 10.0), queue._far(free, 10.0)
    assert far.dues == near.dues
    assert np.array(far.starts) == pytest.approx(np.array(near.starts), abs=0.04)
    assert np.array(far.slacks_s[:-1]) == pytest.approx(np.array(near.slacks_s[:-1]), abs=0.04)
    assert far.slacks_s[-1] == near.slacks_s[-1] == math.inf
    assert far.fill == pytest.approx(near.fill, abs=0.05)


def test_a_long_queue_of_what_is_too_late_already_leaves_room() -> None:
    outlook = schedule(*(Piece(str(i), 1.0, latest=9.0) for i in range(100))).outlook([10.0], 10.0)
    assert (outlook.room_ms(0.5), outlook.fill) == (math.inf, 0.0)
