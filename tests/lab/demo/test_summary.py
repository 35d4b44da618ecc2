"""The demo's table, and what it is said to mean."""

from __future__ import annotations

import pytest
from demo_runs import OUTCOMES, SCENARIO, SENT_BYTES, run, runs

from ondevice.client.planning.plan import Mode
from ondevice.lab.demo.run import MODES, Run
from ondevice.lab.demo.summary import begun_late, meaning, row


def with_auto(outcomes: list[tuple[str, bool, float]]) -> list[Run]:
    return [run(mode, outcomes if mode is Mode.AUTO else OUTCOMES[mode]) for mode in MODES]


def test_the_cloud_alone() -> None:
    assert row(runs()[1], SCENARIO) == {
        "mode": "cloud",
        "attainment": 0.5,
        "effective top1": 0.5,
        "top1 answered": 1.0,
        "cloud": 0.75,
        "p50_ms": 210.0,
        "p95_ms": pytest.approx(368.0),
        "sent kB": round(3 * SENT_BYTES / 1e3),
        "device busy": 0.0,
    }


def test_the_device_alone() -> None:
    found = row(runs()[0], SCENARIO)
    assert (found["attainment"], found["effective top1"], found["cloud"], found["sent kB"]) == (1.0, 0.5, 0.0, 0)
    assert found["device busy"] == 400 / (4 * SCENARIO.every_ms)


def test_a_mode_without_any_answer_has_no_accuracy() -> None:
    found = row(run(Mode.CLOUD, [("", False, 380.0)]), SCENARIO)
    assert (found["top1 answered"], found["effective top1"], found["attainment"]) == (None, 0.0, 0.0)


def test_the_meaning_follows_the_numbers() -> None:
    said = meaning(runs())
    assert said.startswith(
        "Of 4 pictures, auto had 4 right and on time, the phone alone 2, the cloud alone 2, hedge 3:"
    )
    assert "brought 2 more than the phone alone" in said
    assert said.endswith("It had 3 answers from the cloud and 1 from the phone, and missed no deadline.")


@pytest.mark.parametrize(
    ("outcomes", "said"),
    [
        (
            [("device", True, 90.0), ("device", True, 90.0), ("cloud", True, 300.0)],
            "this time the phone alone was as good",
        ),
        ([("device", False, 90.0), ("device", False, 90.0)], "this time the phone alone was better by 2"),
    ],
)
def test_the_meaning_when_choosing_brought_nothing(outcomes: list[tuple[str, bool, float]], said: str) -> None:
    assert said in meaning(with_auto(outcomes))


def test_the_meaning_counts_missed_deadlines() -> None:
    assert "missed 1 deadline." in meaning(with_auto([("cloud", True, 300.0)]))
    assert "missed 2 deadlines." in meaning(with_auto([("cloud", True, 300.0), ("", False, 380.0)]))


def test_requests_that_began_late_are_counted() -> None:
    all_runs = runs()
    assert begun_late(all_runs, SCENARIO) == 0
    late = [record._replace(at_ms=record.at_ms + 100) for record in all_runs[0].records[:2]]
    assert begun_late([*all_runs[1:], all_runs[0]._replace(records=late)], SCENARIO) == 2
