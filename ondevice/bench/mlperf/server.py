"""Server: LoadGen issues queries in a process of its own (`issuer`), and this one answers them."""

from __future__ import annotations

import os
import select
from collections import deque
from contextlib import suppress

from ondevice.bench.mlperf.inference import Invoke, infer
from ondevice.bench.mlperf.issuer import ANSWER, PIPE_BYTES, QUERY
from ondevice.bench.mlperf.loadgen import LoadGenRun
from ondevice.errors import OnDeviceError
from ondevice.process import child


def serve(invoke: Invoke, run: LoadGenRun) -> None:
    """Answer the queries of LoadGen in a process of its own, which dies with the run or with this process.

    Raises OnDeviceError where an inference or LoadGen itself fails.
    """
    with child.start("ondevice.bench.mlperf.issuer", run.as_json(), piped=True) as loadgen:
        with suppress(BrokenPipeError):
            _answer(invoke, loadgen.stdout.fileno(), loadgen.stdin.fileno())
        death = loadgen.death()
    if death.status:
        raise OnDeviceError(f"LoadGen's process ended {death}; reinstall mlcommons-loadgen")


def _answer(invoke: Invoke, queries: int, answers: int) -> None:
    waiting: deque[tuple[int, int]] = deque()
    while True:
        # All that has arrived: were the pipe full, LoadGen could not issue in time.
        if not waiting or select.select([queries], [], [], 0)[0]:
            data = os.read(queries, PIPE_BYTES)
            if not data:
                return
            waiting.extend(QUERY.iter_unpack(data))
        number, sample = waiting.popleft()
        infer(invoke, sample)
        os.write(answers, ANSWER.pack(number))
