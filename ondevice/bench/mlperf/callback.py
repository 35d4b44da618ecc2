"""Single-stream, multi-stream and offline: inference inside LoadGen's callback, in this process."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ondevice.bench.mlperf.inference import Invoke, infer
from ondevice.bench.mlperf.loadgen import LoadGenRun


def infer_in_callback(invoke: Invoke, run: LoadGenRun) -> None:
    """Infer in LoadGen's callback. After a failure what it still issues is answered at once, so that it can end."""
    import mlperf_loadgen

    failures: list[BaseException] = []

    def issue(samples: Any) -> None:
        for sample in samples:
            if not failures:
                try:
                    infer(invoke, sample.index)
                except BaseException as error:
                    failures.append(error)
            mlperf_loadgen.QuerySamplesComplete([mlperf_loadgen.QuerySampleResponse(sample.id, 0, 0)])

    with _interrupts_into(failures):
        run.start(issue)
    if failures:
        raise failures[0]


@contextmanager
def _interrupts_into(failures: list[BaseException]) -> Iterator[None]:
    """Note Ctrl-C in `failures`: raised between two inferences, an exception would pass through LoadGen and abort."""
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, lambda *_: failures.append(KeyboardInterrupt()))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
