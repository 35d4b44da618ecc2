"""The demo's modes side by side, over emulated links to a running endpoint."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace

import pytest
from serving import Endpoint

from ondevice import Runner
from ondevice.client.planning.plan import Mode
from ondevice.errors import ImageError
from ondevice.lab.demo.fixtures import Fixtures, Photo, photos
from ondevice.lab.demo.run import MODES, RequestRecord, Run, run_modes
from ondevice.lab.demo.scenario import Scenario

Done = tuple[list[Run], list[RequestRecord]]

SCENARIO = Scenario(requests=8, no_signal=range(4, 6))


@pytest.fixture(scope="module")
def runners() -> list[Runner]:
    return [Runner(SCENARIO.model) for _ in MODES]


@pytest.fixture(scope="module")
def done(endpoint: Endpoint, runners: list[Runner]) -> Done:
    """What came of the scenario, and what was observed meanwhile."""
    observed: list[RequestRecord] = []
    logging.getLogger("ondevice.client").addHandler(logging.NullHandler())
    fixtures = Fixtures(endpoint.port, runners, photos(SCENARIO.requests))
    return run_modes(SCENARIO, fixtures, observed.append), observed


def of(done: Done, mode: Mode) -> Run:
    (run,) = (run for run in done[0] if run.mode is mode)
    return run


def test_every_mode_is_asked_every_picture(done: Done) -> None:
    runs, observed = done
    assert [run.mode for run in runs] == list(MODES)
    for run in runs:
        assert [record.number for record in run.records] == list(range(SCENARIO.requests))
        assert [record for record in observed if record.mode is run.mode] == list(run.records)


def test_no_picture_is_asked_before_its_time(done: Done) -> None:
    for run in done[0]:
        assert all(record.at_ms >= SCENARIO.due_ms(record.number) for record in run.records)


def test_the_device_alone_sends_nothing(done: Done) -> None:
    run = of(done, Mode.DEVICE)
    assert {(record.where, record.sent_bytes, record.model) for record in run.records} == {
        ("device", 0, SCENARIO.model)
    }
    assert run.busy_ms > 0


def test_the_cloud_alone_has_no_answer_where_there_is_no_signal(done: Done) -> None:
    run = of(done, Mode.CLOUD)
    lost = [record for record in run.records if record.number in SCENARIO.no_signal]
    assert {(record.where, record.right, record.on_time, record.sent_bytes) for record in lost} == {
        ("", False, False, 0)
    }
    assert all("refuses connections" in record.why for record in lost)
    assert "cloud" in {record.where for record in run.records[: SCENARIO.no_signal.start]}
    assert run.busy_ms == 0


@pytest.mark.parametrize("mode", [Mode.HEDGE, Mode.AUTO])
def test_with_a_reserve_there_is_always_an_answer(done: Done, mode: Mode) -> None:
    records = of(done, mode).records
    assert all(record.where for record in records)
    assert {record.where for record in records if record.number in SCENARIO.no_signal} == {"device"}
    assert records[0].sent_bytes > 0
    assert (records[0].events[0].what, records[0].events[-1].what) == ("sent", "answered")
    assert {event.request for event in records[3].events} == {3}


def test_an_error_in_one_mode_ends_them_all(endpoint: Endpoint, runners: list[Runner]) -> None:
    scenario = replace(SCENARIO, requests=10_000)
    broken = [Photo(b"\xff\xd8\xff no picture", 0)]
    with pytest.raises(ImageError):
        run_modes(scenario, Fixtures(endpoint.port, runners, broken), lambda record: None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("demo")]
