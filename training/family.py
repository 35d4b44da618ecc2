"""The bundled family of digit CNNs: architectures, training, export, measuring, cards and samples.

Run as `python -m training.family --out DIR`; with `--uploads` it only measures anew what is sent of pictures. The
drawings and the split depend on `--seed` alone and repeat exactly. The trained weights do not repeat bit for bit:
TensorFlow adds floats up in an order that depends on its threads, and so another run's accuracies differ a little.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import hashlib
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from ondevice import extras
from ondevice.bench.measure import measure
from ondevice.bench.spec import Spec
from ondevice.converters.check import outputs
from ondevice.converters.export import saver, tensorflow, to_tflite
from ondevice.converters.pictures import tensors
from ondevice.errors import MissingError
from ondevice.models.card import Accuracy, Card, Input
from ondevice.models.uploads import MeasuredUploads
from ondevice.protocol.rung import Rung
from ondevice.rungs import evaluate_uploads
from ondevice.runner import Runner
from ondevice.runtime import Model
from ondevice.selection.ladder import rungs_for
from training import digits

PRECISIONS = ("fp32", "int8")
MEAN = STD = 127.5  # grey from -1 to 1
# The 95 % interval of an accuracy is then within 2 points, less than each step of the family gains.
HELD_OUT_PICTURES = 3000
# The first of them, each sent in some thirty ways: what is kept of the accuracy is then known within 1.5 points.
SENT_PICTURES = 1000
# More make the conversion longer, fewer leave out activations that are rare.
CALIBRATION_PICTURES = 200
# Two hundred pictures for examples and tests, in all less than the largest model's file.
SAMPLES_PER_CLASS = 20
# Drawn by one process in a row: long against handing it out, short against the whole.
CHUNK = 500
# Each use has drawings of its own; changing a number changes them.
TRAIN_STREAM, TEST_STREAM, SAMPLE_STREAM, CALIBRATION_STREAM = range(4)
LICENCE = "Apache-2.0"
SOURCE = "trained by training/family.py"


@dataclass(frozen=True)
class Phase:
    """Training on `pictures` drawings, `epochs` times over, on canvases of `canvas` pixels."""

    canvas: int
    pictures: int
    epochs: int
    learning_rate: float = 2e-3


@dataclass(frozen=True)
class DigitNetwork:
    """A CNN of 3x3 convolutions on a `side` x `side` input; `stages` are (filters, layers, first stride).

    The global maximum over the last feature map makes the weights independent of the input's size. So a network
    first learns on small canvases, which show the digits in the same size, cost less and hold less clutter.
    """

    name: str
    side: int
    stages: tuple[tuple[int, int, int], ...]
    phases: tuple[Phase, ...]

    @property
    def input(self) -> Input:
        """How a drawing becomes its input: whole, grey, from -1 to 1."""
        return Input(self.side, self.side, channels=1, mean=(MEAN,), std=(STD,), crop=1.0)

    @property
    def description(self) -> str:
        """The architecture in words, for the card."""
        stages = ", ".join(f"{layers}x{filters}/{stride}" for filters, layers, stride in self.stages)
        return f"3x3 convolutions (layers x filters / stride: {stages}), global maximum, softmax"

    def scaled(self, canvas: int) -> int:
        """The input's side on a canvas of `canvas` pixels, with digits as large as on the full canvas."""
        return round(self.side * canvas / digits.CANVAS)


# A quarter of the full canvas's area: most of the learning at a quarter of its cost.
SMALL_CANVAS = 64
# Widths, layers and phases were chosen so that each step costs several times the one before and gains points.
FAMILY = (
    DigitNetwork(
        "digits_xs",
        40,
        ((8, 1, 2), (16, 1, 1), (32, 1, 2)),
        (Phase(SMALL_CANVAS, 40_000, 8, 4e-3), Phase(digits.CANVAS, 40_000, 6)),
    ),
    DigitNetwork(
        "digits_s",
        40,
        ((8, 1, 1), (16, 1, 2), (32, 1, 2), (40, 1, 1)),
        (Phase(SMALL_CANVAS, 40_000, 5, 3e-3), Phase(digits.CANVAS, 40_000, 4)),
    ),
    DigitNetwork(
        "digits_m",
        48,
        ((16, 1, 1), (24, 2, 2), (48, 2, 2)),
        (Phase(SMALL_CANVAS, 40_000, 3), Phase(digits.CANVAS, 40_000, 2, 1e-3)),
    ),
    DigitNetwork(
        "digits_l",
        128,
        ((32, 1, 2), (64, 4, 1), (80, 3, 2)),
        (Phase(SMALL_CANVAS, 40_000, 2), Phase(digits.CANVAS, 24_000, 1, 8e-4)),
    ),
)


def _chunk(job: tuple[int, int, int, int, int]) -> tuple[digits.Pictures, digits.Labels]:
    seed, stream, index, count, canvas = job
    train, held_out = digits.split(seed)
    sources = train if stream in (TRAIN_STREAM, CALIBRATION_STREAM) else held_out
    return digits.batch(np.random.default_rng([seed, stream, canvas, index]), sources, count, canvas)


@functools.lru_cache(maxsize=3)
def drawings(seed: int, stream: int, count: int, canvas: int = digits.CANVAS) -> tuple[digits.Pictures, digits.Labels]:
    """Draw pictures on all cores: uint8 [count, canvas, canvas] and int64 [count]; each stream has its own drawings."""
    jobs = [(seed, stream, i, min(CHUNK, count - first), canvas) for i, first in enumerate(range(0, count, CHUNK))]
    # Spawned, not forked: a fork of a process in which TensorFlow's threads run may hang.
    with ProcessPoolExecutor(os.cpu_count(), multiprocessing.get_context("spawn")) as pool:
        parts = list(pool.map(_chunk, jobs))
    return np.concatenate([p for p, _ in parts]), np.concatenate([labels for _, labels in parts])


def resized(pictures: digits.Pictures, side: int) -> digits.Pictures:
    """Pictures [n, h, w] resized as the runner resizes them, to uint8 [n, side, side, 1]."""
    small = [np.asarray(Image.fromarray(p).resize((side, side), Image.Resampling.BILINEAR)) for p in pictures]
    return np.stack(small)[..., np.newaxis]


def build(network: DigitNetwork, side: int, policy: str = "float32") -> Any:
    """The Keras model, input [n, side, side, 1], output softmax [n, 10], in the Keras dtype policy `policy`."""
    layers, keras = tensorflow().keras.layers, tensorflow().keras
    inputs = x = keras.Input((side, side, 1))
    for filters, count, stride in network.stages:
        for step in [stride] + [1] * (count - 1):
            x = layers.Conv2D(filters, 3, step, padding="same", use_bias=False, dtype=policy)(x)
            x = layers.BatchNormalization(dtype=policy)(x)
            x = layers.ReLU(dtype=policy)(x)
    x = layers.GlobalMaxPooling2D(dtype=policy)(x)
    return keras.Model(inputs, layers.Dense(digits.CLASSES, activation="softmax")(x))


def train(network: DigitNetwork, seed: int, epochs_scale: float) -> Any:
    """Train through the network's phases; returns the float32 Keras model at full size."""
    tensorflow().keras.utils.set_random_seed(seed)
    weights = None
    for phase in network.phases:
        # bfloat16 takes a third off the time of the large network's convolutions where the CPU has it.
        model = build(network, network.scaled(phase.canvas), "mixed_bfloat16")
        if weights is not None:
            model.set_weights(weights)
        _fit(model, phase, seed, max(1, round(phase.epochs * epochs_scale)))
        weights = model.get_weights()
    final = build(network, network.side)
    final.set_weights(weights)
    return final


def _fit(model: Any, phase: Phase, seed: int, epochs: int, batch: int = 64) -> None:
    tf = tensorflow()
    pictures, labels = drawings(seed, TRAIN_STREAM, phase.pictures, phase.canvas)
    data = tf.data.Dataset.from_tensor_slices((resized(pictures, model.input_shape[1]), labels))
    data = data.shuffle(len(labels), seed=seed).batch(batch, drop_remainder=True).prefetch(2)
    data = data.map(lambda x, y: ((tf.cast(x, tf.float32) - MEAN) / STD, y))
    steps = epochs * (len(labels) // batch)
    rate = tf.keras.optimizers.schedules.CosineDecay(
        phase.learning_rate / 20, steps, warmup_target=phase.learning_rate, warmup_steps=steps // 20
    )
    model.compile(
        tf.keras.optimizers.AdamW(rate, weight_decay=1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"]
    )
    model.fit(data, epochs=epochs, verbose=2, shuffle=False)


def publish(network: DigitNetwork, model: Any, seed: int, out: Path) -> list[Card]:
    """Write the network's TFLite files, each with its card, into `out`; returns the cards, fp32 first."""
    pictures, _ = drawings(seed, CALIBRATION_STREAM, CALIBRATION_PICTURES)
    calibration = list(tensors(resized(pictures, network.side), network.input)[:, np.newaxis])
    cards = []
    for precision in PRECISIONS:
        content = to_tflite(saver(model), precision, calibration)
        path = out / f"{network.name}_{precision}.tflite"
        path.write_bytes(content)
        _card(network, precision, content, accuracy(path, network.input, seed)).write(path.with_suffix(".toml"))
        cards.append(write_uploads(path, seed))
    return cards


def _card(network: DigitNetwork, precision: str, content: bytes, measured: Accuracy) -> Card:
    return Card(
        name=f"{network.name}_{precision}",
        family="digits",
        architecture=network.description,
        precision=precision,
        input=network.input,
        labels="digits",
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence=LICENCE,
        source=SOURCE,
        accuracy=measured,
    )


def accuracy(path: Path, wanted: Input, seed: int) -> Accuracy:
    """Top-1 and top-5 of a TFLite file on drawings of held-out digits, run picture by picture as the runner does."""
    pictures, labels = drawings(seed, TEST_STREAM, HELD_OUT_PICTURES)
    scores = outputs(Model(path), wanted, resized(pictures, wanted.width))
    # Stable, so that classes an int8 output ties are ranked by class and not by chance.
    ranks = np.argsort(-scores, axis=1, kind="stable") == labels[:, np.newaxis]
    digits_used = len(digits.split(seed)[1].labels)
    data = (
        f"{len(labels)} drawings of {digits_used} held-out scikit-learn digits (UCI, CC BY 4.0), "
        f"training/digits.py, seed {seed}"
    )
    return Accuracy(round(float(ranks[:, 0].mean()), 4), data, round(float(ranks[:, :5].any(axis=1).mean()), 4))


def sent() -> list[Rung]:
    """What is tried of any network of the family: they are served together, and compared at the same rungs."""
    return sorted({rung for network in FAMILY for rung in rungs_for(network.side)})


def uploads(path: Path, seed: int, count: int = SENT_PICTURES) -> MeasuredUploads:
    """How often a TFLite file, whose card lies beside it, is right on what is sent of held-out drawings."""
    pictures, labels = drawings(seed, TEST_STREAM, HELD_OUT_PICTURES)
    runner = Runner(path)
    some = [*zip(pictures[:count], labels[:count].tolist(), strict=True)]
    result = evaluate_uploads(runner, some, sent(), lambda outcome: None)
    return result.uploads(f"the first {result.n} of the {len(labels)} drawings that the accuracy rests on")


def write_uploads(path: Path, seed: int) -> Card:
    """Measure that, and write it into the card."""
    card = dataclasses.replace(Card.read(path.with_suffix(".toml")), uploads=uploads(path, seed))
    card.write(path.with_suffix(".toml"))
    return card


def write_samples(seed: int, out: Path) -> None:
    """Write held-out drawings to `out`/samples/<class>/<nn>.png, 20 of each class."""
    pictures, labels = drawings(seed, SAMPLE_STREAM, SAMPLES_PER_CLASS * digits.CLASSES)
    for label in range(digits.CLASSES):
        folder = out / "samples" / str(label)
        folder.mkdir(parents=True, exist_ok=True)
        for index, picture in enumerate(pictures[labels == label]):
            Image.fromarray(picture).save(folder / f"{index:02}.png", optimize=True)


def print_table(out: Path, networks: Sequence[DigitNetwork]) -> None:
    """Print the input's side, size, top-1 and one-thread latency of each of the networks' files in `out`."""
    print(f"{'file':<16}{'input':>7}{'kB':>9}{'top-1':>8}{'ms':>9}")
    for network, precision in itertools.product(networks, PRECISIONS):
        card = Card.read(out / f"{network.name}_{precision}.toml")
        top1 = card.accuracy.top1 if card.accuracy else float("nan")
        milliseconds = measure(Spec(str(out / card.file_name))).summary.p50_ms
        print(f"{card.name:<16}{network.side:>7}{card.size_bytes / 1e3:>9.1f}{top1:>8.3f}{milliseconds:>9.3f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and write the family, or those networks of it that --only names, and print a table of the files."""
    parser = argparse.ArgumentParser(prog="python -m training.family", description=main.__doc__)
    parser.add_argument("--out", type=Path, required=True, help="folder for the models, cards and samples")
    parser.add_argument("--only", nargs="+", choices=[n.name for n in FAMILY], help="train only these networks")
    parser.add_argument("--seed", type=int, default=0, help="seed of the split, the drawings and the weights")
    parser.add_argument("--epochs-scale", type=float, default=1.0, help="factor on every phase's epochs")
    parser.add_argument(
        "--uploads", action="store_true", help="train nothing: measure what is sent anew, for the cards"
    )
    options = parser.parse_args(arguments)
    try:
        extras.require("convert", "training")
    except MissingError as error:
        sys.exit(f"ondevice: error: {error}")
    chosen = [n for n in FAMILY if options.only is None or n.name in options.only]
    if options.uploads:
        for network, precision in itertools.product(chosen, PRECISIONS):
            print(write_uploads(options.out / f"{network.name}_{precision}.tflite", options.seed).name, flush=True)
        return
    options.out.mkdir(parents=True, exist_ok=True)
    write_samples(options.seed, options.out)
    for network in chosen:
        start = time.monotonic()
        model = train(network, options.seed, options.epochs_scale)
        publish(network, model, options.seed, options.out)
        print(f"{network.name}: {model.count_params()} parameters, {time.monotonic() - start:.0f} s", flush=True)
    print_table(options.out, chosen)


if __name__ == "__main__":
    main()
