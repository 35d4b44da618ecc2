"""Clients of either version in a process of its own: this file, run by that version's Python.

What a process is told and what it says are lines of JSON: a command's name with its arguments, and what came of it. Of
`ondevice` it uses only what 0.1.0 has too. The endpoint, and the link to it, are the caller's: both versions meet the
same ones. So is the phone: its times are given, for 0.1.0's emulation has times of its own.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import TYPE_CHECKING, Any

import requests

from ondevice import Answer, OffloadClient, OnDeviceError, Runner
from ondevice.client.offload import Options

if TYPE_CHECKING:
    import versions

Given = dict[str, Any]
# So long is a silent child waited for; no request takes a tenth of it.
PATIENCE_S = 5.0


class ClientProcess:
    """A process with a client for each mode. side: the version; None: this one.

    url, model, sla_ms, modes, patience_ms: as `OffloadClient` has them. phone_ms: times of a phone, ms, for what the
    client measures at its start; empty: this machine is the device. upload: what is sent; None: what the version does.
    """

    def __init__(  # noqa: PLR0913
        self,
        side: versions.Side | None,
        url: str,
        model: str | Path,
        sla_ms: float,
        modes: Sequence[str],
        patience_ms: float | None = None,
        phone_ms: Sequence[float] = (),
        upload: str | None = None,
    ) -> None:
        given = {
            "url": url, "model": str(model), "sla_ms": sla_ms, "modes": list(modes), "patience_ms": patience_ms,
            "phone_ms": list(phone_ms), "upload": upload,
        }  # fmt: skip
        self._process = subprocess.Popen(
            [side.python if side else sys.executable, __file__, json.dumps(given)],
            env=side.environment if side else None,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> ClientProcess:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(BrokenPipeError):
            self._process.communicate()  # closes its input, at which it ends

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def ask(self, command: str, **arguments: object) -> Any:
        """What comes of a command."""
        self.send(command, **arguments)
        return self.receive()

    def send(self, command: str, **arguments: object) -> None:
        """Give a command, whose result is for `receive`."""
        assert self._process.stdin is not None
        print(json.dumps([command, arguments]), file=self._process.stdin, flush=True)

    def receive(self) -> Any:
        """The result of the oldest command that has none yet."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            sys.exit("a process with clients has died")
        return json.loads(line)


class Phone(Runner):
    """A model here that takes a phone's time: warm_ms for the first pictures, then `due_ms`, decoding within it."""

    def __init__(self, model: str, warm_ms: Sequence[float]) -> None:
        super().__init__(model)
        self.warm_ms, self.due_ms, self.busy_ms = list(warm_ms), warm_ms[-1], 0.0

    def classify(self, image: Any, top: int = 5) -> Answer:
        """The real answer, when the phone would have it."""
        begun = perf_counter()
        due_ms = self.warm_ms.pop(0) if self.warm_ms else self.due_ms
        answer = super().classify(image, top)
        sleep(max(begun + due_ms / 1e3 - perf_counter(), 0.0))
        total_ms = (perf_counter() - begun) * 1e3
        self.busy_ms += total_ms
        return dataclasses.replace(answer, invoke_ms=total_ms - answer.decode_ms, total_ms=total_ms)


class Clients:
    """The clients of this process, and what they can be told to do."""

    def __init__(self, given: Given) -> None:
        self._url, self._sla_ms = given["url"], given["sla_ms"]
        self._phone = Phone(given["model"], given["phone_ms"]) if given["phone_ms"] else None
        upload = {"upload": given["upload"]} if given["upload"] else {}  # which 0.1.0 has not
        options = Options(patience_ms=given["patience_ms"], **upload)
        self._clients = {
            mode: OffloadClient(self._url, self._phone or given["model"], self._sla_ms, mode, options)
            for mode in given["modes"]
        }
        self._session = requests.Session()

    def ready(self) -> bool:
        """Whether all know the endpoint, within 5 s."""
        return all((getattr(client, "ready", None) or client.cloud.ready)(5) for client in self._clients.values())

    def stream(self, begin: float, every_s: float, pictures: Sequence[tuple[str, float]]) -> list[Given]:
        """Each picture at its time, by the first client: what came of it.

        begin: of the first, on time.monotonic's clock. pictures: path, and the phone's time for it, ms.
        """
        return list(self._streamed(begin, every_s, pictures))

    def fork(self, begin: float, every_s: float, pictures: Sequence[tuple[str, float]]) -> tuple[list[Given], ...]:
        """Fork, and `stream` in both processes at once: the parent's answers, and what the child gave.

        A child that says nothing for PATIENCE_S is given up.
        """
        reading, writing = os.pipe()
        if (child := os.fork()) == 0:
            for answer in self._streamed(begin, every_s, pictures):
                os.write(writing, json.dumps(answer).encode() + b"\n")
            os._exit(0)
        os.close(writing)
        own, found = self.stream(begin, every_s, pictures), b""
        while select.select([reading], [], [], PATIENCE_S)[0] and (some := os.read(reading, 1 << 16)):
            found += some
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        return own, [json.loads(line) for line in found.split(b"\n") if line]

    def _streamed(self, begin: float, every_s: float, pictures: Sequence[tuple[str, float]]) -> Iterator[Given]:
        (client, *_) = self._clients.values()
        for number, (path, phone_ms) in enumerate(pictures):
            sleep(max(begin + number * every_s - monotonic(), 0.0))
            if self._phone:
                self._phone.due_ms = phone_ms
            yield asked(client, path) | {"since_s": monotonic() - begin}

    def turns(self, paths: Sequence[str]) -> list[dict[str, float]]:
        """Each picture by a bare `requests` POST and by each client, in turn: the time of each, ms."""
        return [self._turn(Path(path).read_bytes()) for path in paths]

    def _turn(self, picture: bytes) -> dict[str, float]:
        took = {"requests": timed(self._post, picture)}
        return took | {mode: timed(client.classify, picture) for mode, client in self._clients.items()}

    def memory(self, count: int, paths: Sequence[str]) -> float:
        """So many pictures by the last client, then the process's resident memory, MB."""
        pictures, (*_, client) = [Path(path).read_bytes() for path in paths], self._clients.values()
        for number in range(count):
            client.classify(pictures[number % len(pictures)])
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6

    def totals(self) -> Given:
        """What the first client has counted, and how long the phone was busy, ms."""
        (client, *_) = self._clients.values()
        found = {
            name: getattr(client.totals, name) for name in ("requests", "on_time", "cloud", "device", "sent_bytes")
        }
        return found | {"busy_ms": self._phone.busy_ms if self._phone else 0.0}

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            client.close()

    def _post(self, picture: bytes) -> None:
        """What a client's request is, by hand."""
        query = {"sla_ms": f"{self._sla_ms:g}", "return_ms": "1", "top": "5"}
        reply = self._session.post(
            f"{self._url}/v2/models/cnnselect/infer", picture, headers={"Content-Type": "image/png"}, params=query
        )
        assert reply.json()["outputs"]


def asked(client: OffloadClient, path: str) -> Given:
    """One picture."""
    try:
        answer = client.classify(path)
    except OnDeviceError as error:
        return {"index": -1, "on_time": False, "where": "", "total_ms": client.sla_ms, "why": str(error)}
    return {name: getattr(answer, name) for name in ("index", "on_time", "where", "total_ms", "why")}


def timed(ask: Callable[[bytes], object], picture: bytes) -> float:
    """How long it took, ms."""
    start = perf_counter()
    ask(picture)
    return (perf_counter() - start) * 1e3


def main() -> None:
    """Do what standard input says, until it ends."""
    # The runtime writes notes to descriptor 2; Python's own errors still go where they should.
    sys.stderr = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    logging.disable(logging.WARNING)  # that the cloud fails is what is wanted of it here
    clients = Clients(json.loads(sys.argv[1]))
    for line in sys.stdin:
        command, arguments = json.loads(line)
        print(json.dumps(getattr(clients, command)(**arguments)), flush=True)
    clients.close()


if __name__ == "__main__":
    main()
