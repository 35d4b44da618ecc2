"""How old the frames of a camera are when their answers are there, and whether memory stays where it is.

    python benchmarks/camera.py [--seconds 60] [--rate 30] [--only pipe|http|changed]

`ondevice run` with `--device raspberry-pi-2`, whose MobileNet V2 takes 82 ms (published), and decoding on this machine,
follows a camera of 640 x 480 pixels made of photos: `pipe`, by `mjpeg:-`; `http`, by a multipart stream that is cut
every 20 seconds, within a frame, with half a second during which nobody listens; `changed`, a pipe whose picture
changes every second, noise aside, with `--changed 0.02`. Models and photos come from the folder that ONDEVICE_TEST_DATA
names.

age: from when the camera began to write a frame to when its answer's line was read here, all pipes and sockets
included. within: the share that is no older than its own inference (and decoding), one frame of the camera and 5 ms,
which are the line's own. lag: answers' frames behind the camera's newest, when the line was read. rss: the process's
memory after a tenth of the time, and at its end.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import socket
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, BinaryIO

import numpy as np
from PIL import Image

DATA = Path(os.environ.get("ONDEVICE_TEST_DATA", Path(__file__).parents[2] / "shared" / "data"))
MODEL, DEVICE = "mobilenet_v2_1.0_224_quant.tflite", "raspberry-pi-2"
SIZE, PHOTOS, NOISE = (640, 480), 30, 6
CUT_S, AWAY_S = 20.0, 0.5
# What printing, a pipe and reading a line take on a machine that has other work.
LINE_MS = 5.0
WAYS = ("pipe", "http", "changed")


@dataclass
class Camera:
    """Writes so many frames a second, on a clock, and knows when it wrote each. count: of frames that were whole."""

    frames: list[bytes]
    rate: float
    hold: int = 1
    begun: list[float] = field(default_factory=list)

    def shoot(self, write: Callable[[bytes], object], until: float) -> None:
        """Each frame `hold` times, until then."""
        begin, first = perf_counter(), len(self.begun)
        while perf_counter() < until:
            number = len(self.begun)
            time.sleep(max(begin + (number - first) / self.rate - perf_counter(), 0))
            shown = number // self.hold * 2 + number % 2 if self.hold > 1 else number
            self.begun.append(perf_counter())
            write(self.frames[shown % len(self.frames)])


def photos(noisy_pairs: bool) -> list[bytes]:
    """JPEGs of that size; noisy_pairs: each twice, with noise of their own."""
    rng, made = np.random.default_rng(1), []
    for path in sorted((DATA / "imagenet").glob("*.JPEG"))[: PHOTOS // (1 + noisy_pairs)]:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize(SIZE)).astype(float)
        for _ in range(1 + noisy_pairs):
            out = io.BytesIO()
            seen = (pixels + rng.normal(0, NOISE, pixels.shape)).clip(0, 255).astype(np.uint8)
            Image.fromarray(seen).save(out, "JPEG", quality=85)
            made.append(out.getvalue())
    return made


# The ways


def piped(camera: Camera, process: subprocess.Popen[bytes], seconds: float) -> None:
    """On its standard input."""
    pipe: Any = process.stdin
    camera.shoot(lambda frame: (pipe.write(frame), pipe.flush()), perf_counter() + seconds)
    pipe.close()


def served(camera: Camera, server: socket.socket, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Links of CUT_S each; the last frame of each is cut in its middle, and is none."""
    port, end = server.getsockname()[1], perf_counter() + seconds
    while perf_counter() < end:
        link, _ = server.accept()
        with link:
            link.recv(65536)
            link.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n")
            with suppress(OSError):
                send = link.sendall
                camera.shoot(lambda frame, send=send: send(part(frame)), min(perf_counter() + CUT_S, end))
                link.sendall(part(camera.frames[0])[:-9999])
        server.close()
        time.sleep(AWAY_S)
        server = socket.create_server(("127.0.0.1", port), backlog=1)
    server.close()
    process.send_signal(2)


def part(frame: bytes) -> bytes:
    """A frame of a multipart stream."""
    return b"--f\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n%b\r\n" % (len(frame), frame)


def run(way: str, seconds: float, rate: float) -> dict[str, Any]:
    """What came of one way."""
    changed = way == "changed"
    camera = Camera(photos(noisy_pairs=changed), rate, hold=round(rate) if changed else 1)
    server = socket.create_server(("127.0.0.1", 0), backlog=1)
    source = f"http://127.0.0.1:{server.getsockname()[1]}/video" if way == "http" else "mjpeg:-"
    command = [sys.executable, "-m", "ondevice", "run", str(DATA / "tflite" / MODEL), source, "--device", DEVICE]
    command += ["--format", "jsonl", "--top", "1", *(["--changed", "0.02"] if changed else [])]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        shoot: Callable[[], None] = (
            (lambda: served(camera, server, process, seconds))
            if way == "http"
            else (lambda: piped(camera, process, seconds))
        )
        threading.Thread(target=shoot, daemon=True).start()
        memory: list[int] = []
        threading.Thread(target=look, args=(process.pid, memory), daemon=True).start()
        assert process.stdout
        lines = [*read(process.stdout, camera)]
        assert process.stderr
        said = process.stderr.read().decode().splitlines()
    return row(way, lines, memory, 1e3 / rate, next((line for line in said if " frames: " in line), ""))


def read(pipe: BinaryIO, camera: Camera) -> Iterator[tuple[float, float, int, int]]:
    """Of each line: the frame's age and its own time, ms; how many frames it is behind the camera; how many went."""
    for line in pipe:
        now, answer = perf_counter(), json.loads(line)
        number = answer["frame"] - 1
        yield (now - camera.begun[number]) * 1e3, answer["total_ms"], len(camera.begun) - 1 - number, answer["dropped"]


def look(process: int, memory: list[int]) -> None:
    """The kB that the process has, ten times a second."""
    with suppress(OSError, StopIteration):
        while True:
            status = Path(f"/proc/{process}/status").read_text(encoding="utf-8").splitlines()
            memory.append(int(next(line for line in status if line.startswith("VmRSS")).split()[1]))
            time.sleep(0.1)


def row(
    way: str, lines: list[tuple[float, float, int, int]], memory: list[int], frame_ms: float, said: str
) -> dict[str, Any]:
    """The figures. The first line is left out."""
    # It is as old as loading the model takes: the camera was there before.
    ages, own, lags, _ = zip(*lines[1:], strict=True)
    within = [age <= total + frame_ms + LINE_MS for age, total in zip(ages, own, strict=True)]
    return {
        "way": way,
        "answers": len(lines),
        "own p50": statistics.median(own),
        "age p50": statistics.median(ages),
        "p95": float(np.quantile(ages, 0.95)),
        "max": max(ages),
        "within": sum(within) / len(within),
        "lag max": max(lags),
        "rss early": memory[len(memory) // 10] / 1e3,
        "late": memory[-2] / 1e3,
        "said": said.removeprefix("ondevice: "),
    }


def main() -> None:
    """Run all ways, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=30.0, help="frames a second")
    parser.add_argument("--only", choices=WAYS, action="append")
    given = parser.parse_args()
    for way in given.only or WAYS:
        found = run(way, given.seconds, given.rate)
        print(
            ", ".join(
                f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in found.items()
            )
        )


if __name__ == "__main__":
    main()
