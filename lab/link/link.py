"""A TCP link in user space, with the rate, latency and faults of a network that is not there; needs no rights.

::

    with Links() as links:
        both = Direction(capacity=8e6, latency_ms=20)
        link = links.open(LinkSpec(to=("127.0.0.1", 8000), up=both, down=both))
        requests.get(f"http://127.0.0.1:{link.port}/")
        link.change(up=replace(link.spec.up, capacity=1e6))

A client that connects to the link's port reaches the server behind it. Connections share each direction's capacity as
those of one phone do. What is emulated is the payload: TCP's own headers, slow start and retransmissions are not.
"""

from __future__ import annotations

import asyncio
import contextlib
import select
import selectors
import threading
from collections.abc import Callable, Coroutine
from dataclasses import replace
from types import TracebackType
from typing import Any, TypeVar

from ondevice.errors import UsageError
from ondevice.lab.link.direction import Direction
from ondevice.lab.link.relay import Counts, LinkSpec, LinkState, Relay

T = TypeVar("T")


class Link:
    """A link that is open; may be used from any thread."""

    def __init__(self, relay: Relay, call: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._relay = relay
        self._call = call

    @property
    def port(self) -> int:
        """The port on 127.0.0.1 that the link listens on."""
        return self._relay.port

    @property
    def spec(self) -> LinkSpec:
        """The link's settings as they are now."""
        return self._relay.spec

    @property
    def opened_s(self) -> float:
        """The `time.monotonic()` at which the link's traces began."""
        return self._relay.opened_s

    @property
    def state(self) -> LinkState:
        """What the link does now."""
        return self._relay.state

    def counts(self) -> Counts:
        """The link's counters."""
        return self._relay.counts()

    def change(
        self,
        *,
        up: Direction | None = None,
        down: Direction | None = None,
        to: tuple[str, int] | None = None,
        state: LinkState | None = None,
    ) -> None:
        """Change what is given, for connections that are open too; a new target for those that come.

        A direction whose capacity is still the same object goes on in its trace; another trace begins now. Raises
        UsageError, or OnDeviceError where the port was lost while connections were refused.
        """
        before = self._relay.spec
        spec = replace(before, up=up or before.up, down=down or before.down, to=to or before.to)
        self._call(self._relay.change(spec, state))

    def close(self) -> None:
        """Reset the link's connections and free its port."""
        self._call(self._relay.close())


class _PunctualSelector(selectors.DefaultSelector):
    """Wakes on time: epoll counts whole ms, and Python rounds up for it twice, so that it wakes up to 2 ms late."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout and timeout > 0:
            with contextlib.suppress(ValueError):  # more files are open than select() takes
                select.select([self.fileno()], [], [], timeout)
                timeout = 0
        return super().select(timeout)


class Links:
    """Links of one process, on an event loop in a thread of its own; leaving the context closes them all."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._open: list[Link] = []

    def __enter__(self) -> Links:
        self._loop = asyncio.SelectorEventLoop(_PunctualSelector())
        self._thread = threading.Thread(target=self._loop.run_forever, name="links", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for link in self._open:
            link.close()
        assert self._loop
        assert self._thread
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def open(self, spec: LinkSpec) -> Link:
        """Open a link. Raises OnDeviceError where its port is taken, UsageError outside of the context."""
        link = Link(self._call(_listening(spec)), self._call)
        self._open.append(link)
        return link

    def _call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        if not self._loop:
            coroutine.close()
            raise UsageError("links are opened and changed inside of `with Links() as links:`")
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()


async def _listening(spec: LinkSpec) -> Relay:
    relay = Relay(spec)
    relay.listen()
    return relay
