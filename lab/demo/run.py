"""Runs of the demo's scenario: each of the client's modes over a link of its own to one endpoint, side by side."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from ondevice.client.flight import Event
from ondevice.client.offload import OffloadClient, Options
from ondevice.client.planning.plan import Mode
from ondevice.errors import OffloadError
from ondevice.lab.demo.fixtures import Fixtures, Photo
from ondevice.lab.demo.scenario import Scenario
from ondevice.lab.link import HOST, Direction, Link, Links, LinkSpec, LinkState

MODES = (Mode.DEVICE, Mode.CLOUD, Mode.HEDGE, Mode.AUTO)
# How long a thread that computes keeps the interpreter from one that is due: Python's own 5 ms would make requests late
# that four modes in one process ask at their times.
_SWITCH_S = 0.0005


class RequestRecord(NamedTuple):
    """What came of one request of one mode.

    at_ms: when it was asked, since the link was opened. where: `device`, `cloud`, or "" where there was no answer;
    total_ms is then how long it was waited for. network_ms: what an answer's legs to the cloud and back took.
    sent_bytes: of the picture, wherever the answer came from; upload: what that was, as `Answer` has it.
    """

    mode: Mode
    number: int
    at_ms: float
    total_ms: float
    where: str = ""
    model: str = ""
    label: str = ""
    right: bool = False
    on_time: bool = False
    network_ms: float = 0.0
    sent_bytes: int = 0
    why: str = ""
    upload: str = ""
    events: tuple[Event, ...] = ()


class Run(NamedTuple):
    """What one mode did, and for how long its device worked."""

    mode: Mode
    records: Sequence[RequestRecord]
    busy_ms: float


Observer = Callable[[RequestRecord], None]


def run_modes(scenario: Scenario, fixtures: Fixtures, observe: Observer) -> list[Run]:
    """Every mode over the pictures, all of them side by side, each a little after the one before.

    So no two of them ask at the same moment, though by its own link's clock each asks when the others do. observe: is
    given each request's record when it is done, on its mode's thread. Raises what a client does, of a picture for
    example.
    """
    stop = threading.Event()
    with _brisk_threads(), Links() as links, ThreadPoolExecutor(len(MODES), "demo") as pool:
        runners = [_ModeRunner(scenario, mode, links, stop, observe) for mode in MODES]
        futures = [pool.submit(runner.run, fixtures, turn) for turn, runner in enumerate(runners)]
        try:
            return [future.result() for future in futures]
        finally:
            stop.set()


@contextlib.contextmanager
def _brisk_threads() -> Iterator[None]:
    """Have threads that compute make way sooner for one that is due."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


class _ModeRunner:
    """One mode's run."""

    def __init__(self, scenario: Scenario, mode: Mode, links: Links, stop: threading.Event, observe: Observer) -> None:
        self._scenario, self._mode, self._links, self._stop, self._observe = scenario, mode, links, stop, observe
        self._events: list[Event] = []

    def run(self, fixtures: Fixtures, turn: int) -> Run:
        """Ask all pictures, again from the first where there are too few; ends early when it is stopped."""
        scenario = self._scenario
        self._stop.wait(turn * scenario.every_ms / len(MODES) / 1e3)
        link = self._links.open(self._link_spec(fixtures.port))
        options = Options(patience_ms=scenario.patience_ms, observe=self._events.append)
        url, records = f"http://{HOST}:{link.port}", []
        with OffloadClient(url, fixtures.runners[turn], scenario.sla_ms, self._mode, options) as client:
            for number in range(scenario.requests):
                due_s = link.opened_s + scenario.due_ms(number) / 1e3
                if self._stop.wait(max(due_s - time.monotonic(), 0.0)):
                    break
                self._set_signal(link, number)
                at_ms = (time.monotonic() - link.opened_s) * 1e3
                photo = fixtures.photos[number % len(fixtures.photos)]
                records.append(self._request(client, photo, number, at_ms))
                self._observe(records[-1])
            return Run(self._mode, records, client.device.busy_ms if client.device else 0.0)

    def _link_spec(self, port: int) -> LinkSpec:
        scenario = self._scenario
        up, down = (
            Direction(trace, scenario.one_way_ms, buffer_bytes=scenario.buffer_bytes) for trace in scenario.traces()
        )
        return LinkSpec((HOST, port), up, down, seed=scenario.seed)

    def _set_signal(self, link: Link, number: int) -> None:
        state = LinkState.REFUSE if number in self._scenario.no_signal else LinkState.UP
        if state is not link.state:
            link.change(state=state)

    def _request(self, client: OffloadClient, photo: Photo, number: int, at_ms: float) -> RequestRecord:
        self._events.clear()
        sent, begun = client.totals.sent_bytes, time.perf_counter()
        try:
            answer = client.classify(photo.file)
        except OffloadError as error:
            record = RequestRecord(self._mode, number, at_ms, (time.perf_counter() - begun) * 1e3, why=str(error))
        else:
            record = RequestRecord(
                self._mode, number, at_ms, answer.total_ms, answer.where, answer.model, answer.label,
                answer.index == photo.truth, bool(answer.on_time), answer.network_ms, why=answer.why,
                upload=answer.upload,
            )  # fmt: skip
        # The end of one that was held is told a moment after its answer was taken.
        events = tuple(event for event in self._events if event.request == number)
        return record._replace(sent_bytes=client.totals.sent_bytes - sent, events=events)
