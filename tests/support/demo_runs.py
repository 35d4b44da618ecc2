"""Runs of the demo's scenario that were never run, with outcomes that are chosen; and what the demo suggests next."""

from __future__ import annotations

import re
import shlex

from ondevice.client.flight import Event
from ondevice.client.planning.plan import Mode
from ondevice.lab.demo.run import RequestRecord, Run
from ondevice.lab.demo.scenario import Scenario

SCENARIO = Scenario(requests=4, no_signal=range(2, 3))
# What came of each picture: where, whether right, and ms; the deadline is 250.
OUTCOMES = {
    Mode.DEVICE: [("device", True, 90), ("device", False, 95), ("device", True, 99), ("device", False, 110)],
    Mode.CLOUD: [("cloud", True, 80), ("cloud", True, 300), ("", False, 380), ("cloud", True, 120)],
    Mode.HEDGE: [("cloud", True, 80), ("device", False, 247), ("device", True, 99), ("cloud", True, 120)],
    Mode.AUTO: [("cloud", True, 80), ("cloud", True, 240), ("device", True, 99), ("cloud", True, 120)],
}
WHYS = {"cloud": "cloud expected: 0.9 against 0.8", "device": "the cloud fails: <b>refused</b>", "": "no answer"}
SENT_BYTES = 2500


def run(mode: Mode, outcomes: list[tuple[str, bool, float]]) -> Run:
    records = [_record(mode, number, *outcome) for number, outcome in enumerate(outcomes)]
    return Run(mode, records, busy_ms=400.0 if mode is Mode.DEVICE else 0.0)


def runs() -> list[Run]:
    return [run(mode, outcomes) for mode, outcomes in OUTCOMES.items()]


def _record(mode: Mode, number: int, where: str, right: bool, total_ms: float) -> RequestRecord:
    happened = ("sent", f"{where} answer", "answered") if where == "cloud" else ("device", "device answer", "answered")
    times_ms = (1.0, total_ms - 1, total_ms)
    return RequestRecord(
        mode, number, SCENARIO.due_ms(number), float(total_ms), where, "digits_l_int8", "7", right,
        on_time=bool(where) and total_ms <= SCENARIO.sla_ms, network_ms=40.0,
        sent_bytes=SENT_BYTES * (where == "cloud"), why=WHYS[where],
        upload="96,40" if where == "cloud" else "",
        events=tuple(Event(number, at_ms, what, "") for at_ms, what in zip(times_ms, happened, strict=True)),
    )  # fmt: skip


def commands(out: str) -> list[list[str]]:
    """The command lines that are suggested, without the program's name."""
    lines = [line for line in out.splitlines() if re.match(r"  \S*ondevice ", line)]
    return [shlex.split(line)[1:] for line in lines]
