"""What is known of the times of the models here: begun with what was saved, if a measurement agrees, and mended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from events import Events

from ondevice.cloud.backends.decoding import DecodeFactor
from ondevice.cloud.backends.local.learner import Learner
from ondevice.cloud.backends.local.store import Saved
from ondevice.protocol.picture import PictureFormat, PictureHead
from ondevice.timing.profile import Profile

PHOTO = PictureHead(PictureFormat.JPEG, 500, 375, 110_000)
SAMPLE = PictureHead(PictureFormat.JPEG, 224, 224, 8_000)
HUGE = PictureHead(PictureFormat.WEBP, 7000, 7000, 87_000)
SIZES = {"small": 128, "large": 224}
TAKES_MS = {"small": 1.0, "large": 10.0}


class Measured:
    """A worker that times a model: it takes so long for certain. asked: how many runs, each time."""

    def __init__(self, invoke_ms: float, decode_ms: float = 1.0) -> None:
        self.invoke_ms, self.decode_ms, self.asked = invoke_ms, decode_ms, list[int]()

    async def __call__(self, runs: int) -> dict[str, Any]:
        self.asked.append(runs)
        return {"invoke_ms": [self.invoke_ms] * runs, "decode_ms": [self.decode_ms] * 3, "picture": list(SAMPLE)}


def saved(model: str, factor: float = 1.0, decode: float = 1.0) -> Saved:
    profile = Profile.of(model, [TAKES_MS[model] * factor] * 40, "host", "runtime", 1)
    return Saved(profile, (DecodeFactor("jpeg", PHOTO.pixels.bit_length(), decode, 40),), 7.0)


def learner(*known: Saved, events: Events | None = None) -> tuple[Learner, dict[str, Measured]]:
    made = Learner(2, {one.profile.model: one for one in known}, events if events is not None else Events())
    workers = {name: Measured(ms) for name, ms in TAKES_MS.items()}

    async def meet() -> None:
        for name, side in SIZES.items():
            described = {"name": name, "sha256": name, "input": {"shape": [1, side, side, 3]}, "load_ms": 5.0}
            await made.meet(described, workers[name], 0.0)
        made.met()

    asyncio.run(meet())
    return made, workers


def test_what_was_saved_of_another_file_of_the_name_is_not_taken_up_however_well_it_agrees() -> None:
    events = Events()
    others = (saved("small")._replace(sha256="other"), saved("large")._replace(sha256="large"))
    made, workers = learner(*others, events=events)
    assert [worker.asked for worker in workers.values()] == [[20], [5]]
    assert [known.sha256 for known in made.models] == ["small", "large"]
    assert [(event, fields["models"]) for event, fields in events] == [("profiles dropped", ["small"])]


def reply(invoke_ms: float, decode_ms: float) -> dict[str, Any]:
    return {"invoke_ms": invoke_ms, "decode_ms": decode_ms}


def test_nothing_saved_is_measured() -> None:
    events = Events()
    made, workers = learner(events=events)
    assert made.table.mean_ms.tolist() == pytest.approx([1.0, 10.0])
    assert [worker.asked for worker in workers.values()] == [[20], [20]]
    assert events == []


def test_what_was_saved_is_taken_up_where_a_few_runs_agree() -> None:
    events = Events()
    made, workers = learner(saved("small", 3.0), saved("large", 0.3), events=events)
    assert made.table.mean_ms.tolist() == pytest.approx([3.0, 3.0])
    assert [known.invoke.count for known in made.models] == [40, 40]
    assert [worker.asked for worker in workers.values()] == [[5], [5]]
    assert events == []


@pytest.mark.parametrize("factor", [1e6, 1e-6])
def test_what_a_few_runs_contradict_is_dropped_with_one_line(factor: float) -> None:
    events = Events()
    made, workers = learner(saved("small", factor), saved("large", factor), events=events)
    assert made.table.mean_ms.tolist() == pytest.approx([1.0, 10.0])
    assert [worker.asked for worker in workers.values()] == [[5, 20], [5, 20]]
    ((event, fields),) = events
    assert (event, fields["models"]) == ("profiles dropped", ["large", "small"])


def test_saved_decoding_is_checked_too() -> None:
    events = Events()
    made, _ = learner(saved("small", decode=1e5), events=events)
    as_new, _ = learner()
    assert made.decode_ms(PHOTO).tolist() == pytest.approx(as_new.decode_ms(PHOTO).tolist())
    assert events[0][1]["models"] == ["small"]


def test_decoding_is_expected_by_the_header_for_each_input() -> None:
    """Both inputs have the photo decoded whole: what is left between them is the resizing."""
    made, _ = learner()
    for _ in range(40):
        for row, ms in enumerate((4.0, 4.8)):
            made.timed(row, PHOTO, reply(TAKES_MS[list(SIZES)[row]], ms), 0.0)
    for _ in range(4):
        made.timed(1, HUGE, reply(10.0, 4000.0), 0.0)
    assert made.decode_ms(PHOTO).tolist() == pytest.approx([4.0, 4.8], rel=0.02)
    assert made.decode_ms(HUGE)[1] == pytest.approx(4000.0)
    assert made.decode_ms(None).tolist() == [0.0, 0.0]


def test_a_tensor_is_no_sample_of_decoding() -> None:
    made, _ = learner()
    before = made.decode_ms(PHOTO).tolist()
    made.timed(0, None, reply(1.0, 0.0), 0.0)
    assert made.decode_ms(PHOTO).tolist() == before


def test_what_has_not_run_for_long_is_measured_again_decoding_included() -> None:
    made, _ = learner()
    for _ in range(40):
        made.timed(1, SAMPLE, reply(1000.0, 900.0), 0.0)
    assert list(made.stale(1.0)) == []
    assert [row for row, _, _ in made.stale(3.0)] == [0], "what takes long is measured more seldom"
    assert [row for row, _, _ in made.stale(600.0)] == [0, 1]
    for _ in range(3):
        made.remeasured(1, asyncio.run(Measured(10.0)(5)))
    assert made.table.mean_ms[1] == pytest.approx(10.0)
    assert made.decode_ms(SAMPLE)[1] < 2.0


def test_a_load_is_learned_and_forgotten() -> None:
    made, _ = learner()
    made.timed(1, None, {**reply(10.0, 0.0), "load_ms": 50_000.0}, 100.0)
    cold = [False, True]
    just_now, later = made.loading_ms(cold, 100.0), made.loading_ms(cold, 1000.0)
    assert just_now[0] == later[0] == 0.0
    assert just_now[1] > 10_000
    assert later[1] == pytest.approx(5.0, rel=0.2)


def test_loads_are_learned_and_told_whoever_brought_them_about() -> None:
    events = Events()
    made, _ = learner(events=events)
    made.timed(1, None, reply(10.0, 0.0), 100.0)
    assert events == []
    made.timed(1, None, {**reply(10.0, 0.0), "load_ms": 15.0}, 100.0)
    made.loaded(1, 7, 20.0, 100.0)
    made.loaded(0, 8, 0.0, 100.0)
    assert events == [
        ("loaded", {"model": "large", "load_ms": 15.0}),
        ("loaded", {"model": "large", "worker": 7, "load_ms": 20.0}),
        ("loaded", {"model": "small", "worker": 8, "load_ms": 0.0}),
    ]
    assert made.loading_ms([True, True], 100.0).tolist() == pytest.approx([5.0, 11.6])  # 5, 0.3 of the way to 15, to 20
