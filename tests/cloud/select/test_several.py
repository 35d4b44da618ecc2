"""Several models chosen to answer one request side by side; the backends' times are given here."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from given_backend import TOP1, Given, arrival, model, selector

from ondevice.cloud.select.selector import Selector
from ondevice.errors import RefusedError
from ondevice.selection.replies import ReplyDistribution

pytestmark = pytest.mark.usefixtures("clock")

# A reply that takes 0, 10, … or 200 ms, each as likely; a deadline of 9 ms more lets each model reach other ones.
UNSURE = ReplyDistribution(np.linspace(0, 200, 21), 0.0, 1.0)


def several(of: Selector, **asked: Any) -> list[str]:
    choices = of.choose_several(arrival(**{"sla_ms": 149, "reply": UNSURE, "anytime": 2} | asked))
    return [choice.served.name for choice in choices]


def test_a_fast_model_stands_in_for_a_better_one_that_may_be_late() -> None:
    assert several(selector()) == ["middle", "large"]
    assert several(selector(), sla_ms=59) == ["small", "middle"]
    assert several(selector(), sla_ms=1000) == ["large"]
    assert several(selector(), sla_ms=1) == ["small"]


def test_however_many_answer_it_one_request_was_let_in() -> None:
    one = selector()
    assert len(several(one)) == 2
    assert one.expectations.traffic.admitted == 1


def test_as_many_as_client_operator_and_idle_workers_allow() -> None:
    given = Given()
    one, generous = selector(given), selector(given, anytime=3)
    assert len(several(one, anytime=1)) == len(several(selector(given, anytime=1))) == 1
    assert len(several(one, anytime=3)) == 2
    given.queue.idle = 3
    assert several(generous, anytime=3) == ["small", "middle", "large"]
    for given.queue.idle in (1, 0):
        assert len(several(generous, anytime=3)) == 1


def test_one_where_another_rule_is_used_or_memory_is_short() -> None:
    assert len(several(selector(), policy="mdinference")) == 1
    assert len(several(selector(policy="greedy"))) == 1
    short = Given()
    short.counts_demand = True
    assert len(several(selector(short))) == 1


def test_several_of_what_is_available() -> None:
    given = Given()
    given.off = {"middle"}
    one = selector(given)
    assert several(one) == ["small", "large"]
    given.off.clear()
    assert several(one) == ["middle", "large"]
    given.off = set(TOP1)
    with pytest.raises(RefusedError, match="no model"):
        several(one)


def test_of_very_many_models_only_one_answers() -> None:
    assert len(several(selector(Given(models=[model(f"m{i}") for i in range(120)])))) == 1
