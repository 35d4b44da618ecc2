"""Where one thread leaves frames and another takes them: it has room for one, the newest."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ondevice.frames.frame import Frame
from ondevice.image import ImageSource


class Mailbox:
    """came: how many frames were put. dropped: those of them that a newer one has replaced. tell: called when there is
    something to take, or to hear of, on the thread of whoever puts.
    """

    def __init__(self, tell: Callable[[], object]) -> None:
        self.came = self.dropped = self._since = 0
        self._tell = tell
        self._lock = threading.Lock()
        self._frame: Frame | None = None
        self._error: BaseException | None = None
        self._ended = self._shut = False

    def put(self, source: ImageSource) -> bool:
        """Leave a picture; whether another one is wanted."""
        with self._lock:
            self.came += 1
            if self._frame is not None:
                self.dropped += 1
                self._since += 1
            self._frame = Frame(source, self.came, self._since)
        self._tell()
        return not self._shut

    def end(self, error: BaseException | None = None) -> None:
        """No more will come; error: why, where that is not as it should be."""
        self._error, self._ended = error, True
        self._tell()

    def take(self) -> Frame | None:
        """The newest frame that was not taken; None: there is none now. Raises what has ended the stream."""
        with self._lock:
            frame, self._frame, self._since = self._frame, None, 0
        if frame is None and self._error is not None:
            raise self._error
        return frame

    @property
    def over(self) -> bool:
        """Whether nothing is there and nothing will come, not even an error."""
        return self._ended and self._frame is None and self._error is None

    def shut(self) -> None:
        """Nobody will take any more."""
        self._shut = True
