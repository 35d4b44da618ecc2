"""LoadGen in a process of its own: queries go out on standard output, answers come in on standard input."""

from __future__ import annotations

import os
import struct
import sys
import threading
from typing import Any

from ondevice.bench.mlperf.loadgen import LoadGenRun

# What goes through the pipes: LoadGen's number for a query and its sample; the number when it is answered. Both are
# smaller than PIPE_BUF, so that each is read whole.
QUERY, ANSWER = struct.Struct("=QQ"), struct.Struct("=Q")
# As much as a pipe holds on Linux: one read takes all that has arrived.
PIPE_BYTES = 1 << 16


def main() -> None:
    """Run LoadGen as the argument says, until it is done."""
    import mlperf_loadgen

    queries = os.dup(1)
    os.dup2(2, 1)

    def issue(samples: Any) -> None:
        try:
            for sample in samples:
                os.write(queries, QUERY.pack(sample.id, sample.index))
        except OSError:
            os._exit(1)

    def complete() -> None:
        while numbers := os.read(0, PIPE_BYTES):
            responses = [mlperf_loadgen.QuerySampleResponse(n, 0, 0) for (n,) in ANSWER.iter_unpack(numbers)]
            mlperf_loadgen.QuerySamplesComplete(responses)
        os._exit(1)  # whoever asked is gone

    threading.Thread(target=complete, daemon=True).start()
    LoadGenRun.from_json(sys.argv[1]).start(issue)
    os._exit(0)  # standard input is still being read
