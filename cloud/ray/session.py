"""`ondevice serve --ray` from its start until it is told to end."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import IO, Any

from ondevice.cloud.http.address import ListenAddress
from ondevice.cloud.http.limits import HttpLimits
from ondevice.cloud.ray import environment
from ondevice.cloud.ray.driver import DriverOrder, DriverReply
from ondevice.cloud.ray.embedded import EmbeddedRay
from ondevice.cloud.ray.log_pipe import LogPipe
from ondevice.cloud.ray.scaling import ScalingRules
from ondevice.cloud.ray.settings import ReplicaSettings
from ondevice.errors import ServeError
from ondevice.process import child

# What the end waits for the last lines of the log, where nobody may be reading them.
_LAST_LINES_S = 1.0
# Ray and its proxy take so long to end besides what requests in flight are given.
_ENDING_S = 20.0
# Between two looks at whether Ray is still there.
_LOOK_S = 1.0
_TOLD = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
# Told where it listens, and what else others can reach: what it is, and its ports.
Listening = Callable[[ListenAddress, list[tuple[str, str]]], None]


@dataclass(frozen=True)
class RaySession:
    """What to serve, how often, and where; port 0: any that is free. ray_address: a cluster's, or None for a Ray of
    its own. limits: as far as HAProxy keeps them.
    """

    settings: ReplicaSettings
    replicas: ScalingRules
    host: str
    port: int
    limits: HttpLimits
    ray_address: str | None = None

    def run(self, stream: IO[str], listening: Listening) -> None:
        """Serve until told to end; the log goes to `stream`. Raises ServeError."""
        with ExitStack() as stack, _told_to_end():
            try:
                if self.ray_address is None:
                    self._on_own(stack, stream, listening)
                else:
                    self._drive(
                        self.settings, {"address": self.ray_address}, {environment.MODE: "token"}, stream, listening
                    )
            except _ToldToEnd:
                pass
            finally:
                _ignore()
                stack.close()

    def _on_own(self, stack: ExitStack, stream: IO[str], listening: Listening) -> None:
        environment.check_free(self.host, self.port)
        ray = EmbeddedRay(self.limits.connections, self.limits.send_s, self.limits.idle_s)
        path = ray.folder / "log"
        pipe = LogPipe(path, stream.fileno())
        stack.callback(pipe.close, _LAST_LINES_S)
        stack.callback(ray.remove)
        others = environment.listening_beyond_loopback(ray.variables, self.host)
        self._drive(
            replace(self.settings, log=str(path)),
            ray.options(self.replicas.most * self.settings.cpus),
            ray.variables,
            stream,
            lambda address, _: listening(address, others),
        )

    def _drive(
        self,
        settings: ReplicaSettings,
        options: dict[str, Any],
        variables: Mapping[str, str],
        stream: IO[str],
        listening: Listening,
    ) -> None:
        port = self.port or environment.free_ports(1)[0]
        order = DriverOrder(settings, self.replicas, self.host, port, options)
        log = os.fdopen(os.dup(stream.fileno()), "wb")
        with child.start(
            "ondevice.cloud.ray.driver", order.text, log=log, piped=True, environment=variables
        ) as driver:  # fmt: skip
            # On a cluster what was begun is to be ended there; of a Ray of its own nothing is left anyway.
            patience_s = _ENDING_S if self.ray_address else 0.0
            try:
                listening(_where(driver), [])
                patience_s = self.settings.drain + _ENDING_S
                while not driver.ends(_LOOK_S):
                    pass
            except _ToldToEnd:
                _ignore()
                driver.stdin.close()
                driver.ends(patience_s)
                raise
        raise ServeError("Ray has ended: see above why, and start again")


def _where(driver: child.Child) -> ListenAddress:
    """Where it listens, once it does. Raises ServeError."""
    line = driver.stdout.readline()
    if not line:
        raise ServeError(f"Ray's driver has ended before it served ({driver.death().cause}): see above why")
    reply = DriverReply.read(line)
    if reply.error:
        raise ServeError(reply.error)
    return ListenAddress(reply.host, reply.port)


class _ToldToEnd(BaseException):
    """Raised in the main thread by a signal, whatever it does: Ray takes ten seconds to start."""


@contextlib.contextmanager
def _told_to_end() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in _TOLD}
    for number, handler in before.items():
        if handler is not signal.SIG_IGN:  # `nohup`, or a shell's background job
            signal.signal(number, _raise)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _raise(number: int, frame: object) -> None:
    raise _ToldToEnd


def _ignore() -> None:
    """It is ending already."""
    for number in _TOLD:
        signal.signal(number, signal.SIG_IGN)
