"""What the demo is played with: photos made of the bundled pictures, an endpoint, and models on an emulated phone."""

from __future__ import annotations

import contextlib
import io
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np
from PIL import Image

from ondevice.errors import ServeError
from ondevice.lab.demo.stream import Photo
from ondevice.models import labels, zoo
from ondevice.sources import labelled

# What the endpoint chooses among.
SERVED = ("digits_xs_int8", "digits_s_int8", "digits_m_int8", "digits_l_int8")
# A photo's side, pixels, its sensor's noise, grey levels, and the JPEG's quality: files of 70 to 80 kB.
_SIDE, _NOISE, _QUALITY = 1024, 3.0, 85
_PATIENCE_S = 5.0
_ENDING = (signal.SIGINT, signal.SIGTERM)


def photos(count: int) -> list[Photo]:
    """Of the bundled pictures, evenly over all classes, in an order of chance that is always the same.

    They are 128 x 128 pixels and drawn onto a camera's larger canvas, with its noise, so that their files are as large
    as photos; that costs no model accuracy.
    """
    data = labelled(zoo.samples_dir(), labels.load("digits"))
    rng = np.random.default_rng(0)
    chosen = rng.permutation(np.linspace(0, len(data.paths), count, endpoint=False).astype(int))
    noise = np.round(rng.normal(0, _NOISE, (_SIDE, _SIDE))).astype(np.int16)
    # Each with noise of its own, at little cost: the same one, moved.
    return [Photo(_photo(Path(data.paths[i]), np.roll(noise, int(i) * _SIDE)), data.truth[i]) for i in chosen]


def _photo(path: Path, noise: np.ndarray[Any, np.dtype[np.int16]]) -> bytes:
    with Image.open(path) as image:
        large = np.asarray(image.convert("L").resize((_SIDE, _SIDE), Image.Resampling.BICUBIC))
    made = io.BytesIO()
    grainy = Image.fromarray((large + noise).clip(0, 255).astype(np.uint8))
    grainy.convert("RGB").save(made, "JPEG", quality=_QUALITY)
    return made.getvalue()


@contextlib.contextmanager
def endpoint(models: Sequence[str] = SERVED) -> Iterator[int]:
    """`ondevice serve` of these models, a process; gives its port on this machine. Raises ServeError.

    What it learns of the models' times goes with it: no run changes the next.
    """
    with tempfile.TemporaryDirectory() as folder, (Path(folder) / "log").open("w+b") as log:
        # -P: a folder `ondevice` where the user stands is not this package.
        command = [sys.executable, "-P", "-m", "ondevice", "serve", "--models", ",".join(models), "--port", "0"]
        command += ["--workers", "2", "--drain", "0", "--no-log-requests", "--profiles", f"{folder}/profiles.json"]
        with contextlib.ExitStack() as stack:
            with _signals_held():  # in the middle of starting one, nobody would know that it runs
                server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
                stack.enter_context(server)
                stack.callback(_end, server)
            yield _port(server, log)
            if server.poll() is not None:
                raise ServeError(f"the endpoint ended before its time: {_said(log)}")


@contextlib.contextmanager
def _signals_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect after this block. Only the main thread gets them at all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in _ENDING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for held in came:
            signal.raise_signal(held)


def _port(server: subprocess.Popen[str], log: IO[bytes]) -> int:
    assert server.stdout
    url = server.stdout.readline().strip()
    if not url:
        raise ServeError(f"the endpoint did not start: {_said(log)}")
    return int(url.rpartition(":")[2])


def _said(log: IO[bytes]) -> str:
    """The last thing."""
    log.seek(0)
    said = [line for line in log.read().decode(errors="replace").splitlines() if not line.startswith("INFO:")]
    return said[-1] if said else "it said nothing"


def _end(server: subprocess.Popen[str]) -> None:
    server.terminate()
    try:
        server.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        server.kill()
