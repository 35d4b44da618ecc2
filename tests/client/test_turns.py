"""When a client's loop wakes."""

from __future__ import annotations

import asyncio
import time

import pytest

from ondevice.client.turns import TurnTaking


@pytest.mark.parametrize("timeout", [0.0002, 0.0012])
def test_a_wait_is_not_rounded_up_to_whole_milliseconds(timeout: float) -> None:
    """The least of many counts, which is as long where the machine is busy."""
    with TurnTaking(gives_way=False) as selector:
        taken = []
        for _ in range(50):
            begun = time.perf_counter()
            assert selector.select(timeout) == []
            taken.append(time.perf_counter() - begun)
    assert timeout <= min(taken) < timeout + 0.0006


@pytest.mark.parametrize("gives_way", [False, True])
def test_a_timer_of_a_loop_is_on_time_however_long(gives_way: bool) -> None:
    async def late() -> float:
        begun = time.perf_counter()
        await asyncio.sleep(0.0123)
        return time.perf_counter() - begun - 0.0123

    with asyncio.Runner(loop_factory=lambda: asyncio.SelectorEventLoop(TurnTaking(gives_way))) as runner:
        found = [runner.run(late()) for _ in range(30)]
    assert -0.0001 <= min(found) < 0.0008


def test_only_a_loop_that_gives_way_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    monkeypatch.setattr("ondevice.client.turns.time.sleep", pauses.append)
    for gives_way, count in ((False, 0), (True, 1)):
        with TurnTaking(gives_way) as selector:
            begun = time.perf_counter()
            while time.perf_counter() - begun < 0.01:
                pass
            selector.select(0)
        assert len(pauses) == count
