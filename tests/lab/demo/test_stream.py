"""The modes side by side, over emulated links to a real endpoint."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from serving import Endpoint

from ondevice import Runner
from ondevice.client.plan import Mode
from ondevice.errors import ImageError
from ondevice.lab.demo import stream
from ondevice.lab.demo.fixtures import SERVED, photos
from ondevice.lab.demo.stream import MODES, Cast, Course, Photo, Record, Scene
from ondevice.models import zoo

SCENE = Scene(requests=8, no_signal=range(4, 6))


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with Endpoint(tmp_path_factory.mktemp("endpoint"), "--models", ",".join(SERVED), "--no-log-requests") as served:
        yield served


@pytest.fixture(scope="module")
def runners() -> list[Runner]:
    return [Runner(SCENE.model) for _ in MODES]


@pytest.fixture(scope="module")
def played(endpoint: Endpoint, runners: list[Runner]) -> tuple[list[Course], list[Record]]:
    """What came of the scene, and what was told meanwhile."""
    told: list[Record] = []
    logging.getLogger("ondevice.client").addHandler(logging.NullHandler())
    return stream.play(SCENE, Cast(endpoint.port, runners, photos(SCENE.requests)), told.append), told


def of(played: tuple[list[Course], list[Record]], mode: Mode) -> Course:
    (course,) = (course for course in played[0] if course.mode is mode)
    return course


def test_every_mode_is_asked_every_picture(played: tuple[list[Course], list[Record]]) -> None:
    courses, told = played
    assert [course.mode for course in courses] == list(MODES)
    for course in courses:
        assert [record.number for record in course.records] == list(range(SCENE.requests))
        assert [record for record in told if record.mode is course.mode] == list(course.records)


def test_no_picture_is_asked_before_its_time(played: tuple[list[Course], list[Record]]) -> None:
    for course in played[0]:
        assert all(record.at_ms >= SCENE.due_ms(record.number) for record in course.records)


def test_the_device_alone_sends_nothing(played: tuple[list[Course], list[Record]]) -> None:
    course = of(played, Mode.DEVICE)
    assert {(record.where, record.sent_bytes, record.model) for record in course.records} == {
        ("device", 0, SCENE.model)
    }
    assert course.busy_ms > 0


def test_the_cloud_alone_has_no_answer_where_there_is_no_signal(played: tuple[list[Course], list[Record]]) -> None:
    course = of(played, Mode.CLOUD)
    lost = [record for record in course.records if record.number in SCENE.no_signal]
    assert {(record.where, record.right, record.on_time, record.sent_bytes) for record in lost} == {
        ("", False, False, 0)
    }
    assert all("refuses connections" in record.why for record in lost)
    assert "cloud" in {record.where for record in course.records[: SCENE.no_signal.start]}
    assert course.busy_ms == 0


@pytest.mark.parametrize("mode", [Mode.HEDGE, Mode.AUTO])
def test_with_a_reserve_there_is_always_an_answer(played: tuple[list[Course], list[Record]], mode: Mode) -> None:
    records = of(played, mode).records
    assert all(record.where for record in records)
    assert {record.where for record in records if record.number in SCENE.no_signal} == {"device"}
    assert records[0].sent_bytes > 0
    assert (records[0].events[0].what, records[0].events[-1].what) == ("sent", "answered")
    assert {event.request for event in records[3].events} == {3}


def test_an_error_in_one_mode_ends_them_all(endpoint: Endpoint, runners: list[Runner]) -> None:
    scene = replace(SCENE, requests=10_000)
    broken = [Photo(b"\xff\xd8\xff no picture", 0)]
    with pytest.raises(ImageError):
        stream.play(scene, Cast(endpoint.port, runners, broken), lambda record: None)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("demo")]


def test_the_link_seems_dead_where_there_is_no_signal() -> None:
    mbps = SCENE.uplink_mbps()
    begins = np.arange(len(mbps)) * stream.RATE_MS
    lost = (begins >= SCENE.due_ms(4)) & (begins < SCENE.due_ms(6))
    assert mbps[lost].max() == 0
    assert mbps[~lost].min() > 0
    whole = replace(SCENE, no_signal=range(0))
    up, _ = whole.traces()
    end_ms = len(mbps) * stream.RATE_MS
    assert whole.uplink_mbps().mean() == pytest.approx(int(up.deliverable(0, end_ms)) * 8 / 1e3 / end_ms)


def test_the_answers_are_waited_for_until_the_next_picture() -> None:
    assert SCENE.sla_ms < SCENE.sla_ms + SCENE.patience_ms < SCENE.every_ms


def test_the_device_can_be_in_time(tmp_path: Path) -> None:
    # Else the demo shows nothing: the longest that the phone takes leaves room for the client's own time.
    emulation = Runner(SCENE.model, device=SCENE.device).emulation
    assert emulation is not None
    assert 1.5 * emulation.predicted_ms < SCENE.sla_ms
    assert zoo.find(SCENE.model).origin == "bundled"
