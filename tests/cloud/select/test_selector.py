"""Who is chosen among the backends' models, and who is refused; the backends' times are given here."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clock import Clock
from given_backend import TOP1, Given, arrival, chosen, model, selector

from ondevice.cloud.backends.backend import Others
from ondevice.cloud.select.selector import common_labels
from ondevice.errors import ProtocolError, RefusedError, UsageError
from ondevice.selection.replies import ReplyDistribution
from ondevice.timing.distribution import Distribution

pytestmark = pytest.mark.usefixtures("clock")


def test_the_most_accurate_that_is_in_time() -> None:
    one = selector()
    assert [chosen(one, sla_ms=sla_ms) for sla_ms in (5, 50, 500)] == ["small", "middle", "large"]


def test_upload_reply_queue_size_and_loading_are_taken_off() -> None:
    given = Given()
    one = selector(given)
    assert chosen(one, sla_ms=150) == "large"
    assert chosen(one, sla_ms=150, upload_ms=40) == "middle"  # the reply takes as long
    assert chosen(one, sla_ms=150, upload_ms=40, return_ms=5) == "large"
    assert one.choose(arrival(upload_ms=40, sla_ms=150)).served.name == "middle"  # as measured, if not said
    assert one.choose(arrival(size_bytes=60_000, sla_ms=150)).served.name == "middle"
    given.queue.waits_ms = 60
    assert chosen(one, sla_ms=150) == "middle"
    given.queue.waits_ms, given.times.cold_ms = 0, np.array([0.0, 0.0, 60.0])
    assert chosen(one, sla_ms=150) == "middle"


def test_what_has_passed_since_it_came_is_taken_off(clock: Clock) -> None:
    one, came = selector(), arrival(sla_ms=150)
    assert one.choose(came).served.name == "large"
    clock.pass_ms(60)
    assert one.choose(came).served.name == "middle"


def test_what_is_said_of_a_choice() -> None:
    choice = selector().choose(arrival(sla_ms=150, upload_ms=20, return_ms=10, size_bytes=5000))
    assert (choice.served.name, choice.policy, choice.budget_ms) == ("large", "effective", 120)
    assert choice.mean_ms == pytest.approx(20 + 10 + 5 + 100)
    assert choice.p90_ms == pytest.approx(choice.mean_ms, abs=0.1)
    assert choice.probability_on_time == 1


def test_the_operators_deadline_and_policy_are_for_requests_that_name_none() -> None:
    one = selector(policy="static-latency", sla_ms=5)
    assert chosen(one) == "small"
    assert chosen(one, policy="static-accuracy") == "large"
    assert chosen(one, policy="effective") == "small"
    assert chosen(one, policy="effective", sla_ms=500) == "large"


def test_an_unknown_policy_is_the_clients_mistake_with_the_nearest_name() -> None:
    one = selector()
    with pytest.raises(ProtocolError, match="no policy 'gready'; did you mean greedy"):
        one.choose(arrival(policy="gready"))


def test_an_operators_unknown_policy_is_refused_at_the_start() -> None:
    with pytest.raises((ProtocolError, UsageError), match="no policy 'gready'; did you mean greedy"):
        selector(policy="gready")


def test_policies_that_strangers_name_do_not_fill_the_memory() -> None:
    one = selector()
    for gamma in range(1000):
        chosen(one, policy=f"mdinference:gamma={gamma}")
    assert len(one._policies) <= 256
    assert chosen(one, policy="mdinference:gamma=0", sla_ms=50) == "middle"


def test_a_random_policy_draws() -> None:
    one = selector()
    assert {chosen(one, policy="random") for _ in range(100)} == set(TOP1)


def test_what_is_not_available_is_not_chosen() -> None:
    given = Given()
    one = selector(given)
    given.unload("large")
    assert chosen(one, sla_ms=500) == "middle"
    given.off |= {"small", "middle"}
    with pytest.raises(RefusedError, match="no model") as caught:
        one.choose(arrival(sla_ms=500))
    assert caught.value.retry_after_s >= 1


def test_a_model_without_accuracy_is_never_chosen() -> None:
    one = selector(Given(models=[model("small", 0.5), model("unknown", None)]))
    assert {chosen(one, policy="random") for _ in range(30)} == {"small"}


def test_a_new_time_is_seen_at_once() -> None:
    given = Given()
    one = selector(given)
    assert chosen(one, sla_ms=150) == "large"
    given.times.table.write(2, Distribution.of([300.0] * 20))
    assert chosen(one, sla_ms=150) == "middle"


# Refusing


def test_nothing_is_refused_while_nobody_waits() -> None:
    assert chosen(selector(), sla_ms=0.01) == "small"


def test_what_cannot_be_in_time_is_refused_when_others_wait() -> None:
    given = Given()
    given.queue.is_crowded, given.queue.waits_ms = True, 2500.0
    one = selector(given)
    with pytest.raises(RefusedError, match=r"no model can answer within 1000 ms now: the queue takes 2500 ms"):
        one.choose(arrival())
    assert chosen(one, sla_ms=2600) == "small"  # as so many wait
    assert chosen(one, sla_ms=2590, policy="effective:price=0") == "middle"


def test_the_way_through_the_server_is_no_workers_time_and_has_no_price() -> None:
    given = Given()
    given.queue.is_crowded = True
    one, names = selector(given), {}
    for given.times.own_ms in (0.0, 30.0):
        names[given.times.own_ms] = []
        for given.queue.waits_ms in range(0, 10_000, 500):
            names[given.times.own_ms].append(chosen(one, sla_ms=10_000))
    assert names[0.0] == names[30.0]
    assert set(names[0.0]) == set(TOP1)


def test_a_named_model_is_refused_by_its_own_time() -> None:
    given = Given()
    given.queue.is_crowded = True
    one = selector(given)
    small, _, large = given.models
    assert one.admit_named(small, given, arrival(sla_ms=50)).served.name == "small"
    with pytest.raises(RefusedError):
        one.admit_named(large, given, arrival(sla_ms=50))
    given.queue.is_crowded = False
    choice = one.admit_named(large, given, arrival(sla_ms=50))
    assert (choice.policy, choice.probability_on_time) == ("named", 0)


def test_or_served_as_well_as_can_be() -> None:
    given = Given()
    given.queue.is_crowded, given.queue.waits_ms = True, 2500.0
    assert chosen(selector(given, refuse=False), sla_ms=50) == "small"


# Memory


def test_what_would_be_best_were_it_loaded_is_wanted() -> None:
    given = Given()
    given.counts_demand, given.times.cold_ms = True, np.array([0.0, 0.0, 500.0])
    one = selector(given)
    assert chosen(one, sla_ms=200) == "middle"
    assert chosen(one, sla_ms=5) == "small"
    assert given.wanted == ["large", "small"]


def test_what_only_its_loading_keeps_from_being_in_nobodys_way_is_wanted() -> None:
    given = Given()
    given.counts_demand, given.times.cold_ms = True, np.array([0.0, 0.0, 500.0])
    given.queue.is_crowded, given.queue.met = True, Others(room_ms=300.0, fill=0.0)
    assert chosen(selector(given), sla_ms=2000) == "middle"
    assert given.wanted == ["large"]


# Several backends


def test_of_two_backends_the_better_place_is_taken() -> None:
    near, far = Given("near"), Given("far")
    one = selector(near, far)
    near.queue.waits_ms = 60
    choice = one.choose(arrival(sla_ms=150))
    assert (choice.backend.name, choice.served.name) == ("far", "large")
    far.is_ready = False
    far.off |= set(TOP1)
    choice = one.choose(arrival(sla_ms=150))
    assert (choice.backend.name, choice.served.name) == ("near", "middle")


def test_it_refuses_only_when_every_backend_is_crowded() -> None:
    near, far = Given("near"), Given("far")
    near.queue.is_crowded, near.queue.waits_ms = True, 5000.0
    one = selector(near, far)
    assert one.choose(arrival(sla_ms=0.01)).backend is far


def test_what_failed_at_one_backend_goes_to_another() -> None:
    near, far = Given("near"), Given("far")
    one, failed = selector(near, far), {(near, row) for row in range(3)}
    assert one.choose(arrival(), without=failed).backend is far
    assert one.available.any_but(failed)
    far.off |= set(TOP1)
    with pytest.raises(RefusedError, match="no model"):
        one.choose(arrival(), without=failed)
    assert not one.available.any_but(failed)
    assert one.available.any_but(())
    near.is_ready = False
    assert not one.available.any_but(())


def test_a_model_that_failed_a_request_is_not_chosen_for_it_again() -> None:
    near = Given("near")
    one = selector(near)
    assert one.choose(arrival(), without=[(near, 2)]).served.name == "middle"
    assert one.choose_again(arrival(), near, 0.0, without=[(near, 2)]).served.name == "middle"
    assert one.choose(arrival()).served.name == "large"


def test_when_its_turn_comes_only_what_is_left_counts() -> None:
    near, far = Given("near"), Given("far")
    near.queue.waits_ms = 5000.0
    one = selector(near, far, policy="effective:price=0")
    again = one.choose_again(arrival(sla_ms=150), near, still_ms=0.0)
    assert (again.backend.name, again.served.name) == ("near", "large")
    assert one.choose_again(arrival(sla_ms=150), near, still_ms=70.0).served.name == "middle"


def test_when_its_turn_comes_those_behind_it_count_too() -> None:
    given = Given()
    one = selector(given)
    taken = []
    for given.queue.waits_ms in (0.0, 75.0, 150.0):
        taken.append(one.choose_again(arrival(sla_ms=150), given, still_ms=0.0).served.name)
    assert taken == ["large", "middle", "small"]


def test_models_with_other_labels_are_refused() -> None:
    pets = model("pets", labels=("cat", "dog"))
    with pytest.raises(UsageError, match=r"pets has other labels than small \(2 and 2\)"):
        selector(Given(), Given("other", [pets]))
    assert common_labels([model("small"), model("large")]) == ("a", "b")
    with pytest.raises(UsageError, match="no model to serve"):
        common_labels([])
    assert common_labels([replace(pets, name="a"), replace(pets, name="b")]) == ("cat", "dog")


def test_what_the_client_knows_of_replies_counts() -> None:
    """Half of the replies take longer than the large model leaves time for, though their median does not."""
    wide = ReplyDistribution(np.linspace(1.0, 99.0, 21), 0.0, 10.0)
    one = selector()
    assert chosen(one, sla_ms=170, upload_ms=20, return_ms=10) == "large"
    assert chosen(one, sla_ms=170, upload_ms=20, return_ms=10, reply=wide) != "large"
