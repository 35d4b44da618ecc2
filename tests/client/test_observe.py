"""What whoever observes a client may do to it: nothing that it does costs an answer."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable

import pytest

from ondevice import OffloadClient, Runner
from ondevice.client.offload import Event, Options
from ondevice.errors import OffloadError, UsageError
from ondevice.models import zoo

PICTURE = min(zoo.samples_dir().glob("7/*.png")).read_bytes()
LONG_MS = 20_000.0


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner("digits_xs_int8")


def observed(runner: Runner, observe: Callable[[Event], None], mode: str = "device") -> OffloadClient:
    endpoint = None if mode == "device" else "http://127.0.0.1:9"
    return OffloadClient(endpoint, runner, LONG_MS, mode, Options(observe=observe))


@pytest.mark.parametrize("call", [lambda client: client.classify(PICTURE), lambda client: client.ready(1)])
def test_it_cannot_wait_for_the_thread_that_it_is_called_on(
    runner: Runner, call: Callable[[OffloadClient], object]
) -> None:
    said: list[str] = []

    def ask(event: Event) -> None:
        try:
            call(client)
        except UsageError as error:
            said.append(str(error))

    with observed(runner, ask, "hedge") as client:
        assert client.classify(PICTURE).where == "device"
    assert said
    assert all("the client's own thread" in one and "\n" not in one for one in said)
    assert client.totals.requests == 1


def test_its_errors_are_logged_and_cost_no_answer(runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    def fail(event: Event) -> None:
        raise ValueError(event.what)

    with caplog.at_level(logging.ERROR, "ondevice.client"), observed(runner, fail) as client:
        assert client.classify(PICTURE).where == "device"
    assert "observe failed" in caplog.text
    assert client.totals.on_time == 1


def test_it_may_close_the_client(runner: Runner) -> None:
    with observed(runner, lambda event: client.close()) as client:
        with contextlib.suppress(OffloadError):  # where the answer was not there by then
            client.classify(PICTURE)
        with pytest.raises(OffloadError, match="the client is closed"):
            client.classify(PICTURE)
