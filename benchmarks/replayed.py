"""Real processes for `replay.py`: a client, an emulated link, an endpoint."""

from __future__ import annotations

import json
import statistics
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from offload import BUFFER_BYTES, DEVICE, EVERY_S, ROUND_TRIP_MS
from sendable import Photos

from ondevice import Runner
from ondevice.answer import Answer
from ondevice.cli import console
from ondevice.client.connection.messages import HttpReply, HttpRequest
from ondevice.client.endpoint.description import Aside, EndpointDescription, PreparedRequest, RequestContext
from ondevice.client.endpoint.reply import ParsedReply
from ondevice.client.offload import OffloadClient, Options
from ondevice.client.picture import Upload
from ondevice.client.planning.plan import Mode
from ondevice.errors import OffloadError
from ondevice.lab.link import Direction, Link, Links, LinkSpec, networks
from ondevice.lab.simulate.device_model import DeviceModel
from ondevice.selection.ladder import UploadLadder
from ondevice.timing.arrays import FloatArray
from ondevice.timing.profile import Profile, loads

# From the link's opening to the first request: until the device is measured and the endpoint known.
BEGIN_S = 5.0
_STATUS = b"HTTP/1.1 200 OK\r\n"


class Stage(NamedTuple):
    """What all runs have in common. port: the endpoint's. model: the device's. trace: as `ondevice link` takes it.
    upload: as a client takes it.
    """

    port: int
    model: Path
    photos: Photos
    trace: str
    upload: str


class Asked(NamedTuple):
    """A request. at_ms: since the trace began. sent_bytes: of the picture; head_bytes: of what goes before it.

    other_ms, client_ms: what the server and the client took beside inference and network; of an answer from the cloud.
    """

    at_ms: float
    sent_bytes: int
    head_bytes: int
    answer: Answer | None
    right: bool
    other_ms: float = 0.0
    client_ms: float = 0.0

    @property
    def on_time(self) -> bool:
        """Whether its deadline held."""
        return bool(self.answer and self.answer.on_time)

    @property
    def upload(self) -> str:
        """What was sent."""
        return self.answer.upload if self.answer else ""

    @property
    def cloud(self) -> bool:
        """Whether the cloud's answer is the one."""
        return bool(self.answer and self.answer.where == "cloud")


@dataclass(frozen=True)
class Real:
    """What came of one mode and deadline. limit_ms: when a request at the cloud was given up, after its call.

    down_bytes: of a reply. device: the device's model, as the client knows it. profiles, top1: the endpoint's,
    afterwards; ladder: what it says is worth sending.
    """

    mode: Mode
    sla_ms: float
    upload: str
    asked: list[Asked] = field(default_factory=list)
    limit_ms: float = 0.0
    down_bytes: int = 0
    device: DeviceModel | None = None
    profiles: tuple[Profile, ...] = ()
    top1: dict[str, float] = field(default_factory=dict)
    ladder: UploadLadder | None = None

    def of_cloud(self, value: Callable[[Asked], float]) -> float:
        """The median over the answers from the cloud."""
        return statistics.median([value(one) for one in self.asked if one.cloud] or [0.0])

    @property
    def at_ms(self) -> FloatArray:
        """[n]: when each began."""
        return np.array([one.at_ms for one in self.asked])


class Overheard:
    """What is known of an endpoint; the last reply, and the bytes of the last request's head and of each reply."""

    def __init__(self, description: EndpointDescription, port: int) -> None:
        self._description, self._port = description, port
        self.replies_bytes: list[int] = []
        self.forget()

    def forget(self) -> None:
        """Until the next request."""
        self.head_bytes = 0
        self.parsed: ParsedReply | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._description, name)

    async def prepare(self, upload: Upload, context: RequestContext, aside: Aside) -> PreparedRequest:
        """See EndpointDescription."""
        prepared = await self._description.prepare(upload, context, aside)
        self.head_bytes = _head_bytes(prepared.request, self._port)
        return prepared

    def read(self, prepared: PreparedRequest, reply: HttpReply) -> ParsedReply:
        """See EndpointDescription."""
        head_bytes = sum(len(name) + len(value) + 4 for name, value in reply.headers.items()) + 2
        self.replies_bytes.append(len(_STATUS) + head_bytes + len(reply.body))
        self.parsed = self._description.read(prepared, reply)
        return self.parsed


class Session:
    """One client and its link."""

    def __init__(self, stage: Stage, client: OffloadClient, link: Link) -> None:
        assert client.cloud
        assert client.ready(BEGIN_S)
        assert client.cloud.endpoint
        client.cloud.link.discovery.endpoint = self._overheard = Overheard(client.cloud.endpoint, link.port)
        self._stage, self._client, self._link = stage, client, link

    def run(self) -> Real:
        """Ask all pictures."""
        asked = []
        for number, (path, truth) in enumerate(zip(*self._stage.photos, strict=True)):
            self._sleep_until(BEGIN_S + number * EVERY_S)
            asked.append(self._ask(path, truth))
        time.sleep(EVERY_S)  # a connection may still be made, in place of one given up
        client, down = self._client, round(statistics.median(self._overheard.replies_bytes or [0]))
        return Real(
            client.mode,
            client.sla_ms,
            self._stage.upload,
            asked,
            down_bytes=down,
            ladder=self._overheard.ladder,
        )

    def _sleep_until(self, after_s: float) -> None:
        """After the link's opening."""
        time.sleep(max(self._link.opened_s + after_s - time.monotonic(), 0))

    def _ask(self, path: str, truth: int) -> Asked:
        """One picture."""
        at_ms, before = (time.monotonic() - self._link.opened_s) * 1e3, self._client.totals.sent_bytes
        heard = self._overheard
        heard.forget()
        try:
            answer = self._client.classify(path)
        except OffloadError:
            answer = None
        sent_bytes = self._client.totals.sent_bytes - before
        right = bool(answer and answer.index == truth)
        one = Asked(at_ms, sent_bytes, heard.head_bytes, answer, right)
        if not answer or not one.cloud or not heard.parsed:
            return one
        other_ms = (heard.parsed.server_ms or 0.0) - answer.invoke_ms
        client_ms = answer.total_ms - answer.network_ms - answer.invoke_ms - other_ms
        return one._replace(other_ms=other_ms, client_ms=client_ms)


def _head_bytes(request: HttpRequest, port: int) -> int:
    """As the client sends it."""
    headers = {"Host": f"127.0.0.1:{port}", "Accept-Encoding": "identity", **request.headers}
    headers["Content-Length"] = str(len(request.body))
    lines = (f"{name}: {value}\r\n" for name, value in headers.items())
    return len(f"{request.method} {request.path} HTTP/1.1\r\n\r\n") + sum(map(len, lines))


def real(stage: Stage, mode: Mode, sla_ms: float) -> Real:
    """Ask all pictures through a link of its own, whose trace begins with it."""
    with Links() as links, console.quiet_runtime():
        up, down = (
            Direction(each, ROUND_TRIP_MS / 2, buffer_bytes=BUFFER_BYTES) for each in networks.find(stage.trace)
        )
        link = links.open(LinkSpec(("127.0.0.1", stage.port), up, down))
        local = [Runner(stage.model, device=DEVICE)] if mode is Mode.HEDGE else []
        options = Options(patience_ms=0, upload=stage.upload)
        with OffloadClient(f"http://127.0.0.1:{link.port}", local, sla_ms, mode, options) as client:
            return _told(_with_device(Session(stage, client, link).run(), client), stage.port)


def _with_device(found: Real, client: OffloadClient) -> Real:
    """When requests were given up, and the device's part, which begins as late as it may."""
    if client.device is None:
        return replace(found, limit_ms=found.sla_ms)
    held = [one.answer.total_ms for one in found.asked if one.answer and one.answer.why == "the cloud was late"]
    limit_ms = min(statistics.median(held or [found.sla_ms]), found.sla_ms)
    begins_ms = max(limit_ms - client.device.models[0].worst_ms, 0.0)
    runner, times = client.device.runners[0], client.device.models[0].times.distribution
    device = DeviceModel(runner.name, client.device.models[0].top1, times, begins_ms)
    return replace(found, limit_ms=limit_ms, device=device)


def _told(found: Real, port: int) -> Real:
    """What the endpoint says of its models."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/cnnselect") as reply:
        parameters = json.load(reply)["parameters"]
    return replace(found, profiles=tuple(loads(json.dumps(parameters["profiles"]))), top1=parameters["top1"])
