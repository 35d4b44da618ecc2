"""The port that a link listens on, which stays the link's while it refuses connections.

It accepts by itself: asyncio's server loses what it has accepted when it is closed just then, and tells nobody.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

from ondevice import words
from ondevice.errors import OnDeviceError

HOST = "127.0.0.1"
# So many connections may come at once: beyond that the kernel drops their SYNs, which are sent again a second later.
# asyncio's own 100 is less than a load test opens.
_BACKLOG = 256
# As asyncio's own servers wait when too many files are open.
_PAUSE_S = 1.0


class Listener:
    """A bound socket, of the running event loop.

    port: 0 for any that is free. Raises OnDeviceError where it is taken.
    """

    def __init__(self, port: int) -> None:
        self._socket = _bound(port)
        self.port: int = self._socket.getsockname()[1]
        self._loop = asyncio.get_running_loop()

    def listen(self, accept: Callable[[socket.socket], None]) -> None:
        """Take connections from now on; `accept` is given each."""
        try:
            self._socket.listen(_BACKLOG)
        except OSError as error:
            self._socket.close()
            raise _unavailable(self.port, error) from error
        self._go_on(accept)

    def refuse(self) -> None:
        """Take no connections, until `listen` is called again."""
        self.close()
        # Bound but not listening: the port stays ours, and the kernel refuses who calls.
        self._socket = _bound(self.port)

    def close(self) -> None:
        """Free the port."""
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _go_on(self, accept: Callable[[socket.socket], None]) -> None:
        if self._socket.fileno() >= 0:
            self._loop.add_reader(self._socket, self._accept, accept)

    def _accept(self, accept: Callable[[socket.socket], None]) -> None:
        try:
            accepted, _ = self._socket.accept()
        except (BlockingIOError, ConnectionError):  # it has gone again
            return
        except OSError:  # no more files may be open: the kernel holds those who call
            self._loop.remove_reader(self._socket)
            self._loop.call_later(_PAUSE_S, self._go_on, accept)
            return
        accepted.setblocking(False)
        accept(accepted)


def _bound(port: int) -> socket.socket:
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.setblocking(False)
        bound.bind((HOST, port))
    except OSError as error:
        bound.close()
        raise _unavailable(port, error) from error
    return bound


def _unavailable(port: int, error: OSError) -> OnDeviceError:
    said = f"cannot listen on {HOST} port {port}: {words.reason(error)}"
    return OnDeviceError(f"{said}; choose another port, or 0 for any")
