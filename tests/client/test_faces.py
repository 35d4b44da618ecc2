"""Both faces of the client in front of one recorded exchange: what they decide, and why, is equal to the last digit."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, NamedTuple

import exchange
import pytest
from exchange import PICTURES, Exchange, Played
from played import Steady, World, world
from rude import http

from ondevice import Answer, AsyncOffloadClient, OffloadClient
from ondevice.client.base import BaseClient as BothFaces
from ondevice.client.executors.attempt import Task
from ondevice.client.flight import Event
from ondevice.client.options import Options
from ondevice.client.totals import Totals
from ondevice.image import ImageSource

SMALL = "digits_xs_int8"
MODES = ["hedge", "auto", "cascade"]
# What most of the recorded replies and a run of the device fit in, one after the other, but not all of them.
SLA_MS, EVERY_S = 110.0, 0.15
COUNT = 40
# Every fifth has time for the device alone.
DEADLINES = [45.0 if number % 5 == 4 else SLA_MS for number in range(COUNT)]


def troubled() -> Exchange:
    """The recorded one with the recorded refusal now and then, late answers, one that is cut and one that is none."""
    found = exchange.read()
    for number in (5, 6):
        found.answers[number] = found.refused
    longer = found.refused.reply.replace(b"retry-after-ms: 25", b"retry-after-ms: 400")
    found.answers[12] = found.refused._replace(reply=longer)
    found.answers[11] = Played(50.0, found.answers[11].reply[:-100])
    found.answers[13] = Played(45.0, http(b"<html>It works!</html>"))
    for number in range(15, 22):
        found.answers[number] = found.answers[number]._replace(after_ms=700.0)
    return found


class Flown(NamedTuple):
    """Answers with all their figures, events with their times, the bytes that were sent, and what was counted."""

    answers: list[Answer]
    events: list[Event]
    asked: list[bytes]
    totals: Totals


def blocking(made: World, mode: str, options: Options) -> tuple[list[Answer], Totals]:
    with OffloadClient("http://127.0.0.1:8000", Steady(SMALL), SLA_MS, mode, options) as client:
        client.ready(10)
        answers = []
        for number, sla_ms in enumerate(DEADLINES):
            answers.append(client.classify(PICTURES[number % len(PICTURES)], sla_ms))
            client._engine.submit(made.counted(asyncio.sleep(EVERY_S))).result()
    return answers, client.totals


def awaiting(made: World, mode: str, options: Options) -> tuple[list[Answer], Totals]:
    async def stream(client: AsyncOffloadClient) -> list[Answer]:
        async with client:
            await client.ready(10)
            answers = []
            for number, sla_ms in enumerate(DEADLINES):
                answers.append(await client.classify(PICTURES[number % len(PICTURES)], sla_ms))
                await asyncio.wrap_future(client._engine.submit(made.counted(asyncio.sleep(EVERY_S))))
        return answers

    client = AsyncOffloadClient("http://127.0.0.1:8000", Steady(SMALL), SLA_MS, mode, options)
    return asyncio.run(stream(client)), client.totals


Face = Callable[[World, str, Options], tuple[list[Answer], Totals]]


def flown(face: Face, mode: str, **more: Any) -> Flown:
    """What comes of the exchange through a face of the client."""
    events: list[Event] = []
    with pytest.MonkeyPatch.context() as patch:
        made = world(troubled(), patch)
        answers, totals = face(made, mode, Options(observe=events.append, **more))
        made.ahead_s = 0.0
    return Flown(answers, events, made.server.asked, totals)


@pytest.mark.parametrize("mode", MODES)
def test_they_decide_alike(mode: str) -> None:
    one, other = flown(blocking, mode), flown(awaiting, mode)
    for answer, its in zip(one.answers, other.answers, strict=True):
        assert answer == its
    assert one == other


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("hedge", ["hedged"]),
        ("auto", ["not known yet", "cloud expected: 0.988", "device expected", "tried all the same"]),
        ("cascade", ["was confident", "was unsure: 0.719", "not known yet", "cloud expected: 0.988"]),
    ],
)
def test_the_exchange_has_all_kinds_of_decisions_in_it(mode: str, said: list[str]) -> None:
    found = flown(blocking, mode)
    whys = "; ".join(answer.why for answer in found.answers)
    faults = ["answers 503", "asked not to be asked", "connection was lost", "was late", "not valid"]
    assert [each for each in said + faults if each not in whys] == []
    assert {answer.where for answer in found.answers} == {"device", "cloud"}
    assert any(b"reply=" in request for request in found.asked), "what was learned of replies goes with it"


@pytest.mark.parametrize("mode", MODES)
def test_a_face_that_decided_otherwise_would_be_seen(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def hasty(self: BothFaces, image: ImageSource, sla_ms: float | None) -> Task:
        return BothFaces._task(self, image, (sla_ms or SLA_MS) - 1)

    one = flown(blocking, mode)
    monkeypatch.setattr(AsyncOffloadClient, "_task", hasty)
    other = flown(awaiting, mode)
    assert one.answers != other.answers
    assert one.asked != other.asked
