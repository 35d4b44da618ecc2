"""What a model can be asked for, by what befell it; all times are given."""

from __future__ import annotations

from ondevice.cloud.backends.states import Condition, ModelState

AVAILABLE, LOADING, FAILING, GONE = ModelState


def failing(now: float = 0.0) -> Condition:
    condition = Condition()
    assert condition.failed(now, at_once=True)
    return condition


def test_a_load_that_fails_makes_it_failing_at_once_and_an_inference_only_the_third_in_a_row() -> None:
    condition = Condition()
    assert condition.state is AVAILABLE
    assert [condition.failed(1.0, at_once=False), condition.failed(1.1, at_once=False)] == [False, False]
    condition.succeeded()
    assert [condition.failed(2.0 + n, at_once=False) for n in range(3)] == [False, False, True]
    assert condition.state is FAILING
    assert failing().state is FAILING


def test_it_is_tried_again_after_pauses_that_double_up_to_ten_seconds() -> None:
    condition, now, pauses = failing(), 0.0, []
    for _ in range(7):
        last = now
        while not condition.retry(now):
            assert condition.state is FAILING
            now += 0.25
        pauses.append(now - last)
        assert condition.state is LOADING
        assert not condition.retry(now + 100)  # one trial at a time
        assert not condition.failed(now, at_once=True)  # that it is failing was told
    assert pauses == [0.5, 1, 2, 4, 8, 10, 10]


def test_a_trial_that_succeeds_makes_it_available_and_the_next_failure_ends_that() -> None:
    condition = failing()
    assert condition.retry(0.5)
    assert condition.succeeded()
    assert condition.state is AVAILABLE
    assert not condition.succeeded()
    assert condition.failed(1.0, at_once=True)
    assert condition.state is FAILING


def test_what_was_unloaded_is_not_tried_again_and_comes_back_only_by_hand() -> None:
    condition = failing()
    condition.unload()
    assert condition.state is GONE
    assert not condition.retry(100.0)
    condition.load()
    assert condition.state is LOADING
    assert condition.loaded()
    assert condition.state is AVAILABLE


def test_unloading_is_the_last_word_over_a_load_and_a_trial_on_their_way() -> None:
    condition = Condition()
    condition.unload()
    condition.load()
    condition.unload()
    assert not condition.loaded()
    assert condition.state is GONE
    condition = failing()
    assert condition.retry(0.5)
    condition.unload()
    assert not condition.succeeded()
    assert condition.state is GONE


def test_a_load_by_hand_that_fails_leaves_it_as_it_was() -> None:
    condition = Condition()
    condition.unload()
    condition.load()
    condition.not_loaded(0.0)
    assert condition.state is GONE
    condition = failing()
    condition.load()
    assert condition.state is LOADING
    condition.not_loaded(0.1)
    assert condition.state is FAILING


def test_a_trial_that_fails_meanwhile_does_not_undo_a_load_by_hand() -> None:
    condition = failing()
    assert condition.retry(0.5)
    condition.load()
    condition.failed(0.6, at_once=True)
    assert condition.state is LOADING
    assert condition.loaded()
    assert condition.state is AVAILABLE


def test_a_load_by_hand_of_what_can_be_asked_for_keeps_nobody_from_asking() -> None:
    condition = Condition()
    condition.load()
    assert condition.state is AVAILABLE
