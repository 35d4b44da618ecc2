"""The backend that forwards, in front of servers in processes of their own, which are killed and frozen."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator

import oip_server
import pytest
from fronting import FP32, INT8, PICTURES, answered, fronted, matches, ticking, work

from ondevice.cloud.backends.backend import InferenceResult
from ondevice.cloud.backends.ticket import Ticket
from ondevice.cloud.backends.upstream import health, link, model
from ondevice.errors import ImageError, UpstreamError
from ondevice.runner import Runner


class Process:
    """A server in a process of its own."""

    def __init__(self, *command: str) -> None:
        # It imports what this one does, the tests' own support included.
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
        )
        assert self._process.stdout is not None
        self.url = self._process.stdout.readline().strip()
        assert self.url.startswith("http://"), "it did not start"

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.fixture
def process() -> Iterator[Callable[..., Process]]:
    """Starts servers, and ends them with the test."""
    started: list[Process] = []

    def start(*command: str) -> Process:
        started.append(Process(*command))
        return started[-1]

    yield start
    for server in started:
        server.end()


def own(port: int = 0) -> tuple[str, ...]:
    """The command for a server of the tests' own."""
    return sys.executable, oip_server.__file__, str(port), INT8, FP32


def test_killed_under_load_and_started_again(process: Callable[..., Process]) -> None:
    server = process(*own())

    async def main() -> None:
        async with fronted(server.url) as (backend, events):
            outcomes: list[InferenceResult | UpstreamError] = []

            async def client() -> None:
                while backend.available(INT8):
                    outcomes.append(await answered(backend, INT8))

            clients = [asyncio.create_task(client()) for _ in range(4)]
            await ticking(backend, lambda: len(outcomes) > 20)
            server.signal(signal.SIGKILL)
            await asyncio.wait_for(asyncio.gather(*clients), 60)
            failed = [outcome for outcome in outcomes if isinstance(outcome, UpstreamError)]
            assert 1 <= len(failed) <= 6, "three open the breaker, and each of the others may have been on its way"
            assert events.names == ["upstream down"]
            assert not backend.ready()
            assert backend.queue.waiting == 0
            process(*own(server.port))
            await ticking(backend, backend.ready)
            assert events.names == ["upstream down", "upstream up"]
            matches(await backend.run(Ticket(INT8, work())), Runner(INT8), PICTURES[0])

    asyncio.run(main())


def test_frozen_and_thawed(process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch) -> None:
    patience_s = {(model, "_LATE_S"): 30 * model._LATE_S, (link, "_HEALTH_S"): 30 * link._HEALTH_S}
    monkeypatch.setattr(health, "_CHECK_S", 0.2)
    server = process(*own())

    async def main() -> None:
        async with fronted(server.url) as (backend, events):
            server.signal(signal.SIGSTOP)
            for where in patience_s:
                monkeypatch.setattr(*where, 0.2)
            await ticking(backend, lambda: not backend.ready())
            assert events.names == ["upstream down"]
            server.signal(signal.SIGCONT)
            for where, seconds in patience_s.items():
                monkeypatch.setattr(*where, seconds)
            await ticking(backend, backend.ready)
            assert isinstance(await answered(backend, FP32), InferenceResult)

    asyncio.run(main())


def test_in_front_of_another_ondevice_serve(process: Callable[..., Process]) -> None:
    server = process(sys.executable, "-m", "ondevice", "serve", "--port", "0", "--workers", "1")

    async def main() -> None:
        async with fronted(server.url) as (backend, events):
            assert {INT8, "digits_xs_int8"} <= {served.name for served in backend.models}
            assert not events
            runner = Runner(INT8)
            for picture in PICTURES:
                matches(await backend.run(Ticket(INT8, work(picture))), runner, picture)
            tensor = runner.prepare(PICTURES[0])
            result = await backend.run(Ticket(INT8, work(tensor.tobytes(), picture=False, raw=True)))
            assert result.raw == runner.model.invoke(tensor).tobytes()
            with pytest.raises(ImageError):
                await backend.run(Ticket(INT8, work(b"no picture")))
            assert backend.available(INT8)
            server.signal(signal.SIGKILL)
            while backend.ready():
                outcome = await answered(backend, INT8)
            assert isinstance(outcome, UpstreamError)
            assert events.names == ["upstream down"]

    asyncio.run(main())
