"""`OffloadClient`: classifies each picture here, there or both, so that the answer is there before the deadline."""

from __future__ import annotations

from collections.abc import Generator
from concurrent.futures import Future

from ondevice.answer import Answer
from ondevice.client.base import BaseClient
from ondevice.client.executors.attempt import Ending, Task
from ondevice.client.flight import Event
from ondevice.client.options import CONFIDENT, Options
from ondevice.errors import OnDeviceError, UsageError
from ondevice.frames.frame import FrameAnswer
from ondevice.frames.latest import Frames, LatestFrames, latest
from ondevice.image import ImageSource

__all__ = ["CONFIDENT", "Event", "OffloadClient", "Options"]


class OffloadClient(BaseClient):
    """Classifies pictures within a deadline, on this device, at an endpoint, or both.

    >>> client = OffloadClient("http://localhost:8000", "mobilenet_v1_0.25_128_quant", sla_ms=200)
    >>> client.classify("photo.jpg").label

    endpoint: the URL of an `ondevice serve`; None: there is none. local: the device's model or models, names, files or
    Runners, of the endpoint's labels; empty: there is none. sla_ms: the deadline, from the call of `classify`. mode:
    see `Mode`. Raises UsageError, and what Runner raises. The endpoint need not be there. To be closed, or used in a
    `with`. May be used from several threads, and in the child of a fork, where it keeps what it has learned; is pickled
    as its settings.
    """

    def classify(self, image: ImageSource, sla_ms: float | None = None) -> Answer:
        """The best classes of one picture, as good as can be had by the deadline.

        The answer may still be late, if it must; `on_time` says so. Raises ImageError for a picture that cannot be
        read, OffloadError where neither place has an answer, UsageError.
        """
        self._check_may_wait()
        task = self._task(image, sla_ms)
        future: Future[Ending] | None = None
        try:
            self._load(task)
            future = self._engine.submit(self._fly(task))
            try:
                ending = future.result(self._hold_s(task))
            except TimeoutError:
                ending = task.reserve or future.result()
        except BaseException as error:  # also Ctrl-C, which is the main thread's
            if future:
                future.cancel()
            raise self._lost(error) from None
        return self._landed(task, ending)

    def stream(self, frames: Frames | LatestFrames, sla_ms: float | None = None) -> Generator[FrameAnswer, None, None]:
        """An answer for the newest frame that there is, again and again, until the frames end.

        frames: pictures as they come: anything that is iterated over, or what the command line takes, such as
        `http://camera/video`. What comes while a frame is asked about is passed over, but for the last; a
        `LatestFrames` also passes over what has not changed. sla_ms: the deadline, from when a frame is asked about.
        A frame without an answer has its error; UsageError, and what the frames raise, end the stream.
        """
        for frame in latest(frames):
            result: Answer | OnDeviceError
            try:
                result = self.classify(frame.source, sla_ms)
            except OnDeviceError as error:
                result = self._of_frame(error)
            yield FrameAnswer(frame, result, frame.age_ms)

    def _load(self, task: Task) -> None:
        """Read its file here, if it will be wanted: having another thread do that takes longer. Raises ImageError.

        Not what is not a regular file, which may never come to an end.
        """
        if self.cloud and task.picture.regular:
            task.picture.load()

    def ready(self, timeout_s: float) -> bool:
        """Wait until the endpoint has told of its models, so long at most; `cloud.problem` has what is wrong else.

        Requests need not wait for it. True also where no endpoint is to be asked.
        """
        self._check_may_wait()
        future = self._engine.submit(self._get_ready(timeout_s))
        try:
            return future.result()
        except BaseException as error:
            future.cancel()
            raise self._ended_by(error) from None

    def close(self) -> None:
        """End what is under way; once or often."""
        self._end()

    def _check_may_wait(self) -> None:
        """Raise UsageError on the client's own thread, which would wait for itself."""
        if self._engine.here:
            raise UsageError("observe is called on the client's own thread, which cannot wait for an answer: ask later")

    def __enter__(self) -> OffloadClient:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
