"""python ending_client.py KIND URL: a program that ends and leaves a client as it is; `ends` is its last word."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

from serving import PICTURE

from ondevice import Answer, OffloadClient
from ondevice.client.executors.attempt import Task
from ondevice.client.executors.device import TimedModel
from ondevice.errors import OnDeviceError

LONG_MS = 60_000.0


def slowly(model: TimedModel, task: Task) -> Answer | OnDeviceError:
    time.sleep(60)
    return OnDeviceError("too slow")


def main(kind: str, url: str) -> None:
    mode = {"sending": "cloud", "exploring": "auto", "working": "device", "piping": "device", "after": "device"}[kind]
    client = OffloadClient(url, "digits_xs_int8" if mode != "cloud" else (), 200 if mode == "auto" else LONG_MS, mode)
    source: bytes | str = PICTURE
    if kind == "working":
        TimedModel.classify = slowly  # type: ignore[method-assign]
    elif kind == "piping":
        source = str(Path.cwd() / "pipe")
        os.mkfifo(source)

    def ask() -> None:
        while True:
            client.classify(source)

    def ask_after() -> None:
        threading.main_thread().join()
        sys.stdout.write(f"{client.classify(source).where}\n")  # in one piece, for all threads write at once

    if kind == "exploring":
        print([client.classify(source).where for _ in range(3)])
    else:
        for _ in range(3):
            threading.Thread(target=ask_after if kind == "after" else ask, daemon=kind != "after").start()
        time.sleep(0.3)
    print("ends", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
