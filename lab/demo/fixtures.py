"""The demo's fixtures: photos made of the bundled pictures, an endpoint, and models on an emulated phone."""

from __future__ import annotations

import contextlib
import io
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from ondevice.dataset.labelled import labelled
from ondevice.errors import ServeError
from ondevice.models import labels, zoo
from ondevice.process import child
from ondevice.runner import Runner

# What the endpoint chooses among.
SERVED = ("digits_xs_int8", "digits_s_int8", "digits_m_int8", "digits_l_int8")
# A photo's side, pixels, its sensor's noise, grey levels, and the JPEG's quality: files of 70 to 80 kB.
_SIDE, _NOISE, _QUALITY = 1024, 3.0, 85
# For the endpoint to end its workers and save its profiles, of which it does both in a tenth of this.
_PATIENCE_S = 5.0


class Photo(NamedTuple):
    """A picture's file, and the index of its class."""

    file: bytes
    truth: int


class Fixtures(NamedTuple):
    """What a scenario is run with. port: the endpoint's on this machine. runners: for each mode one of its own."""

    port: int
    runners: Sequence[Runner]
    photos: Sequence[Photo]


def photos(count: int) -> list[Photo]:
    """Photos made of the bundled pictures, evenly over all classes, in a random order that is always the same.

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
    """Run `ondevice serve` with these models, in a process; gives its port on this machine. Raises ServeError.

    What it learns of the models' times goes with it: no run changes the next.
    """
    with tempfile.TemporaryDirectory() as folder:
        command = ["serve", "--models", ",".join(models), "--port", "0", "--workers", "2", "--drain", "0"]
        command += ["--no-log-requests", "--profiles", f"{folder}/profiles.json"]
        with child.start("ondevice.cli", *command, piped=True) as server:
            try:
                yield _port(server)
                if server.ends(0):
                    raise ServeError(f"the endpoint ended before its time {server.death()}")
            finally:
                server.terminate()
                server.ends(_PATIENCE_S)


def _port(server: child.Child) -> int:
    url = server.stdout.readline().decode().strip()
    if not url:
        death = server.death()
        raise ServeError(f"the endpoint did not start: {death.said or death.cause}")
    return int(url.rpartition(":")[2])
