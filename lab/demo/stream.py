"""The same pictures at the same times for each of the client's modes, each over a link of its own to one endpoint."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from ondevice.client.flight import Event
from ondevice.client.offload import OffloadClient, Options
from ondevice.client.plan import Mode
from ondevice.errors import OffloadError
from ondevice.lab.link import HOST, Direction, Link, Links, LinkSpec, LinkState, networks
from ondevice.lab.link.trace import Trace
from ondevice.runner import Runner
from ondevice.timing.arrays import FloatArray

# Between a link's opening, when its trace begins, and its first request: the client sees how fast the device is, and
# asks the endpoint for its models.
LEAD_MS = 1500.0
# What is not answered so long before the next picture is due is given up.
_REST_MS = 20.0
_SWITCH_S = 0.0005
# The link's rate is shown as means over so long.
RATE_MS = 250.0


@dataclass(frozen=True)
class Scene:
    """What the modes have to cope with.

    model, device: what runs here, and what that is. network, seed: see `networks.find`. one_way_ms: half of the base
    round trip. buffer_bytes: see `Direction`. every_ms: from picture to picture. no_signal: for these pictures the
    device is without any network.
    """

    model: str = "digits_s_int8"
    device: str = "pieslicer-phone"
    network: str = "cellular"
    seed: int = 6
    one_way_ms: float = 20.0
    buffer_bytes: int = 64 << 10
    sla_ms: float = 250.0
    every_ms: float = 400.0
    requests: int = 85
    no_signal: range = range(50, 60)

    @property
    def patience_ms(self) -> float:
        """How long after the deadline an answer is waited for where there is none."""
        return self.every_ms - self.sla_ms - _REST_MS

    @property
    def lasts_ms(self) -> float:
        """How long a mode takes over all pictures."""
        return self.due_ms(self.requests)

    def uplink_mbps(self) -> FloatArray:
        """What may pass upwards from the link's opening to the end, Mbit/s, means over RATE_MS each."""
        begins = np.arange(0, self.lasts_ms, RATE_MS)
        mbps = self.traces()[0].deliverable(begins, begins + RATE_MS) * 8 / 1e3 / RATE_MS
        lost = [self.due_ms(number) for number in (self.no_signal.start, self.no_signal.stop)]
        return np.where((begins >= lost[0]) & (begins < lost[1]), 0.0, mbps)

    def due_ms(self, number: int) -> float:
        """When a picture is asked, since the link was opened."""
        return LEAD_MS + number * self.every_ms

    def traces(self) -> tuple[Trace, Trace]:
        """The link's capacity, up and down. Raises UsageError for no network."""
        return networks.find(self.network, self.seed)


class Photo(NamedTuple):
    """A picture's file, and the index of its class."""

    file: bytes
    truth: int


class Cast(NamedTuple):
    """What a scene is played with. port: the endpoint's on HOST. runners: for each mode one of its own."""

    port: int
    runners: Sequence[Runner]
    photos: Sequence[Photo]


class Record(NamedTuple):
    """What came of one request of one mode.

    at_ms: when it was asked, since the link was opened. where: `device`, `cloud`, or "" where there was no answer;
    total_ms is then how long it was waited for. network_ms: an answer's way to the cloud and back. sent_bytes: of the
    picture, wherever the answer came from.
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
    events: tuple[Event, ...] = ()


class Course(NamedTuple):
    """What one mode did, and for how long its device worked."""

    mode: Mode
    records: Sequence[Record]
    busy_ms: float


# Those that are played.
MODES = (Mode.DEVICE, Mode.CLOUD, Mode.HEDGE, Mode.AUTO)
Tell = Callable[[Record], None]


def play(scene: Scene, cast: Cast, tell: Tell) -> list[Course]:
    """Every mode over the pictures, all of them side by side, each a little after the one before.

    So no two of them ask at the same moment, though by its own link's clock each asks when the others do. tell: is told
    of each request when it is done, on its mode's thread. Raises what a client does, of a picture for example.
    """
    stop = threading.Event()
    with _brisk(), Links() as links, ThreadPoolExecutor(len(MODES), "demo") as pool:
        lanes = [_Lane(scene, mode, links, stop, tell) for mode in MODES]
        futures = [pool.submit(lane.run, cast, turn) for turn, lane in enumerate(lanes)]
        try:
            return [future.result() for future in futures]
        finally:
            stop.set()


@contextlib.contextmanager
def _brisk() -> Iterator[None]:
    """Have threads that compute make way for one that is due within half a ms; Python's own 5 ms are too long here."""
    usual_s = sys.getswitchinterval()
    sys.setswitchinterval(_SWITCH_S)
    try:
        yield
    finally:
        sys.setswitchinterval(usual_s)


class _Lane:
    """One mode's run."""

    def __init__(self, scene: Scene, mode: Mode, links: Links, stop: threading.Event, tell: Tell) -> None:
        self._scene, self._mode, self._links, self._stop, self._tell = scene, mode, links, stop, tell
        self._events: list[Event] = []

    def run(self, cast: Cast, turn: int) -> Course:
        """Over the pictures, again from the first where there are too few; ends early when it is stopped."""
        scene = self._scene
        self._stop.wait(turn * scene.every_ms / len(MODES) / 1e3)
        link = self._links.open(self._spec(cast.port))
        options = Options(patience_ms=scene.patience_ms, observe=self._events.append)
        url, records = f"http://{HOST}:{link.port}", []
        with OffloadClient(url, cast.runners[turn], scene.sla_ms, self._mode, options) as client:
            for number in range(scene.requests):
                due_s = link.opened_s + scene.due_ms(number) / 1e3
                if self._stop.wait(max(due_s - time.monotonic(), 0.0)):
                    break
                self._signal(link, number)
                at_ms = (time.monotonic() - link.opened_s) * 1e3
                record = self._ask(client, cast.photos[number % len(cast.photos)], number, at_ms)
                records.append(record)
                self._tell(record)
            return Course(self._mode, records, client.device.busy_ms if client.device else 0.0)

    def _spec(self, port: int) -> LinkSpec:
        scene = self._scene
        up, down = (Direction(trace, scene.one_way_ms, buffer_bytes=scene.buffer_bytes) for trace in scene.traces())
        return LinkSpec((HOST, port), up, down, seed=scene.seed)

    def _signal(self, link: Link, number: int) -> None:
        state = LinkState.REFUSE if number in self._scene.no_signal else LinkState.UP
        if state is not link.state:
            link.change(state=state)

    def _ask(self, client: OffloadClient, photo: Photo, number: int, at_ms: float) -> Record:
        self._events.clear()
        sent, begun = client.totals.sent_bytes, time.perf_counter()
        try:
            answer = client.classify(photo.file)
        except OffloadError as error:
            record = Record(self._mode, number, at_ms, (time.perf_counter() - begun) * 1e3, why=str(error))
        else:
            record = Record(
                self._mode, number, at_ms, answer.total_ms, answer.where, answer.model, answer.label,
                answer.index == photo.truth, bool(answer.on_time), answer.network_ms, why=answer.why,
            )  # fmt: skip
        return record._replace(sent_bytes=client.totals.sent_bytes - sent, events=tuple(self._events))
