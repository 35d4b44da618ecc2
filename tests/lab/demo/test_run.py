"""What the demo's scenario holds before it is run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from ondevice import Runner
from ondevice.lab.demo.scenario import RATE_MS, Scenario
from ondevice.models import zoo

SCENARIO = Scenario(requests=8, no_signal=range(4, 6))


def test_the_link_seems_dead_where_there_is_no_signal() -> None:
    mbps = SCENARIO.uplink_mbps()
    begins = np.arange(len(mbps)) * RATE_MS
    lost = (begins >= SCENARIO.due_ms(4)) & (begins < SCENARIO.due_ms(6))
    assert mbps[lost].max() == 0
    assert mbps[~lost].min() > 0
    whole = replace(SCENARIO, no_signal=range(0))
    up, _ = whole.traces()
    end_ms = len(mbps) * RATE_MS
    assert whole.uplink_mbps().mean() == pytest.approx(int(up.deliverable(0, end_ms)) * 8 / 1e3 / end_ms)


def test_the_answers_are_waited_for_until_the_next_picture() -> None:
    assert SCENARIO.sla_ms < SCENARIO.sla_ms + SCENARIO.patience_ms < SCENARIO.every_ms


def test_the_device_can_be_in_time() -> None:
    # Else the demo shows nothing: the longest that the phone takes leaves room for the client's own time.
    emulation = Runner(SCENARIO.model, device=SCENARIO.device).emulation
    assert emulation is not None
    assert 1.5 * emulation.predicted_ms < SCENARIO.sla_ms
    assert zoo.find(SCENARIO.model).origin == "bundled"
