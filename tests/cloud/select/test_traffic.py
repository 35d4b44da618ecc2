"""What is summed up of the requests, by which is seen whether more workers are needed."""

from __future__ import annotations

import pytest
from clock import Clock
from given_backend import Given, arrival, selector

from ondevice.cloud.backends.backend import InferenceResult, Others
from ondevice.errors import RefusedError


@pytest.fixture
def backend(clock: Clock) -> Given:
    return Given()


def test_where_nobody_waits_a_worker_costs_nothing(backend: Given) -> None:
    chooses = selector(backend)
    for _ in range(3):
        chooses.choose(arrival(sla_ms=300))
    traffic = chooses.expectations.traffic
    assert (traffic.admitted, traffic.crowded_out, traffic.price) == (3, 0, 0.0)


@pytest.mark.parametrize(("fill", "price"), [(0.0, 0.0), (0.5, 0.25), (1.0, 1.0)])
def test_the_price_is_that_by_which_models_are_chosen(backend: Given, fill: float, price: float) -> None:
    backend.queue.is_crowded, backend.queue.met = True, Others(1e3, fill)
    chooses = selector(backend)
    choice = chooses.choose(arrival(sla_ms=300))
    assert choice.fill == pytest.approx(fill)
    assert chooses.expectations.traffic.price == pytest.approx(price)


def test_a_named_model_counts_as_any(backend: Given) -> None:
    chooses = selector(backend)
    chooses.admit_named(backend.models[0], backend, arrival(sla_ms=300))
    assert chooses.expectations.traffic.admitted == 1


def test_only_those_are_crowded_out_whom_an_idle_server_could_have_answered(backend: Given) -> None:
    backend.queue.is_crowded, backend.queue.waits_ms = True, 500.0
    chooses = selector(backend)
    for sla_ms in (0.5, 300.0):  # the smallest model takes 1 ms
        with pytest.raises(RefusedError):
            chooses.choose(arrival(sla_ms=sla_ms))
    traffic = chooses.expectations.traffic
    assert (traffic.admitted, traffic.crowded_out) == (0, 1)


def test_what_keeps_a_worker_is_summed_up(backend: Given) -> None:
    chooses = selector(backend)
    choice = chooses.choose(arrival(sla_ms=300))
    result = InferenceResult("large", [], queue_ms=40.0, decode_ms=5.0, infer_ms=100.0, load_ms=20.0)
    for _ in range(2):
        chooses.expectations.observe(choice, result, 170.0)
    assert chooses.expectations.traffic.worked_s == pytest.approx(0.25)


def test_what_another_server_infers_keeps_no_worker_here(backend: Given) -> None:
    backend.infers_here = False
    chooses = selector(backend)
    choice = chooses.choose(arrival(sla_ms=300))
    chooses.expectations.observe(choice, InferenceResult("large", [], decode_ms=5.0, infer_ms=100.0), 110.0)
    assert chooses.expectations.traffic.worked_s == pytest.approx(0.005)
