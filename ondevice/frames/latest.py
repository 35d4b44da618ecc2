"""Of the frames that come, always the newest: those passed over are counted, and nothing waits in a queue."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Iterator
from typing import TypeAlias

from ondevice.errors import UsageError
from ondevice.frames.change import ChangeFilter
from ondevice.frames.frame import Frame
from ondevice.frames.mailbox import Mailbox
from ondevice.frames.source import FrameSource
from ondevice.frames.sources import find
from ondevice.image import ImageSource
from ondevice.timing.bounds import LONGEST_MS

# What pictures may come from: an address, pipe or film as the command line takes it, or anything that gives them.
Frames: TypeAlias = str | Iterable[ImageSource] | AsyncIterable[ImageSource]


class LatestFrames:
    """Iterated over, or with `async for`, it gives the newest frame that has come since the last; once.

    frames: pictures as they come, on a thread beside, or as tasks of the event loop where they come asynchronously;
    see `ondevice.frames.sources.find` for a text. What it gives must stay as it is: a new array each. changed: frames
    that differ in less than that share from the last one given are passed over; see `ChangeFilter`. every_ms: at most
    one frame each so many ms. Ends with the frames, after the last one; raises what they raise. Raises UsageError.

    came: how many frames there were. dropped: for which there was no time. unchanged: that were as the last one.
    """

    def __init__(self, frames: Frames, changed: float | None = None, every_ms: float | None = None) -> None:
        if every_ms is not None and not 0 < every_ms <= LONGEST_MS:
            raise UsageError(f"every must be over 0 ms, up to an hour, not {every_ms:g}")
        self.frames = find(frames) if isinstance(frames, str) else frames
        self.unchanged = 0
        self._changes = None if changed is None else ChangeFilter(changed)
        self._pause_s = (every_ms or 0.0) / 1e3
        self._due = 0.0
        self._mailbox = Mailbox(lambda: None)
        self._begun = False

    @property
    def came(self) -> int:
        """How many frames there were."""
        return self._mailbox.came

    @property
    def dropped(self) -> int:
        """How many had to give way to a newer one before anybody was free for them."""
        return self._mailbox.dropped

    def __iter__(self) -> Iterator[Frame]:
        if isinstance(self.frames, AsyncIterable):
            raise UsageError("frames that come asynchronously need `async for`, and AsyncOffloadClient")
        there = threading.Event()
        self._begin(Mailbox(there.set))
        threading.Thread(target=self._read, args=(self.frames,), name="ondevice-frames", daemon=True).start()
        try:
            while True:
                time.sleep(self._early_s())
                there.clear()
                if frame := self._mailbox.take():
                    if self._wanted(frame):
                        yield frame
                elif self._mailbox.over:
                    return
                else:
                    there.wait()
        finally:
            self._end()

    async def __aiter__(self) -> AsyncIterator[Frame]:
        loop, there = asyncio.get_running_loop(), asyncio.Event()

        def tell() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is there to hear it
                loop.call_soon_threadsafe(there.set)

        self._begin(Mailbox(tell))
        reading = self._begin_reading()
        try:
            while True:
                await asyncio.sleep(self._early_s())
                there.clear()
                if frame := self._mailbox.take():
                    aside = self._changes is not None  # looking at a picture takes milliseconds
                    if await asyncio.to_thread(self._wanted, frame) if aside else self._wanted(frame):
                        yield frame
                elif self._mailbox.over:
                    return
                else:
                    await there.wait()
        finally:
            if reading:
                reading.cancel()
            self._end()

    def _begin(self, mailbox: Mailbox) -> None:
        if self._begun:
            raise UsageError("frames come once: make another LatestFrames")
        self._begun, self._mailbox = True, mailbox

    def _begin_reading(self) -> asyncio.Task[None] | None:
        if isinstance(self.frames, AsyncIterable):
            return asyncio.create_task(self._read_on_loop(self.frames))
        threading.Thread(target=self._read, args=(self.frames,), name="ondevice-frames", daemon=True).start()
        return None

    def _read(self, frames: Iterable[ImageSource]) -> None:
        """On a thread of its own: whoever iterates over the frames waits for the camera."""
        mailbox = self._mailbox
        try:
            iterator = iter(frames)
            with contextlib.closing(iterator) if isinstance(iterator, Generator) else contextlib.nullcontext():
                for source in iterator:
                    if not mailbox.put(source):
                        break
        except BaseException as error:  # whatever it is, the one who waits must hear of it
            mailbox.end(error)
        else:
            mailbox.end()

    async def _read_on_loop(self, frames: AsyncIterable[ImageSource]) -> None:
        try:
            async for source in frames:
                self._mailbox.put(source)
                await asyncio.sleep(0)  # what never waits would keep all others from running
        except Exception as error:
            self._mailbox.end(error)
        else:
            self._mailbox.end()

    def _wanted(self, frame: Frame) -> bool:
        """Whether it is another than the last one was."""
        if self._changes and not self._changes.passes(frame.source):
            self.unchanged += 1
            return False
        self._due = time.perf_counter() + self._pause_s
        return True

    def _early_s(self) -> float:
        """How long it is until the next frame may be given."""
        return max(self._due - time.perf_counter(), 0.0)

    def _end(self) -> None:
        self._mailbox.shut()
        if isinstance(self.frames, FrameSource):
            self.frames.close()


def latest(frames: Frames | LatestFrames) -> LatestFrames:
    """The frames as such, if they are not yet."""
    return frames if isinstance(frames, LatestFrames) else LatestFrames(frames)
