"""Small .tflite files that are sound and classify no picture: a detector, sound, a sequence, words, several inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tflite import Network

_SEEN = 10  # things that the detector finds


def detector(path: Path, shape: Sequence[int] = (1, 32, 32, 3)) -> Path:
    """A picture to boxes, classes, scores and their count, named as a converter names them."""
    net = Network()
    picture = net.tensor(shape, name="serving_default_image:0")
    mean = net.operator(
        "MEAN", [picture, net.constant([1, 2], "int32")], [net.tensor((1, 3))], kind="ReducerOptions", keepDims=False
    )
    boxes = net.tensor((1, _SEEN, 4), name="boxes")
    flat = _dense(net, mean, net.tensor((1, 4 * _SEEN)), 3, 4 * _SEEN)
    net.operator("RESHAPE", [flat, net.constant([1, _SEEN, 4], "int32")], [boxes], kind="ReshapeOptions")
    classes = _dense(net, mean, net.tensor((1, _SEEN), name="classes"), 3, _SEEN)
    scores = _dense(net, mean, net.tensor((1, _SEEN), name="StatefulPartitionedCall:3"), 3, _SEEN)
    count = _dense(net, mean, net.tensor((1, 1), name="count"), 3, 1)
    return net.write(path, [picture], [boxes, classes, scores, count])


def audio(path: Path, shape: Sequence[int] = (1, 1600)) -> Path:
    """Samples of sound to the scores of five kinds."""
    net = Network()
    sound = net.tensor(shape, name="sound")
    scores = _dense(net, sound, net.tensor((shape[0], 5), name="kinds"), abs(shape[-1]), 5)
    return net.write(path, [sound], [scores])


def lstm(path: Path, shape: Sequence[int] = (1, 12, 8), kinds: int = 0) -> Path:
    """A sequence [batch, steps, features] through an LSTM of four cells; or into the scores of so many kinds of it."""
    net, cells = Network(), 4
    steps = net.tensor(shape, name="steps")
    weights = [net.constant(np.full((cells, width), 0.1)) for width in (shape[2], cells) for _ in range(4)]
    biases = [net.constant(np.zeros(cells)) for _ in range(4)]
    states = [net.tensor((1, cells), name=f"state{i}") for i in range(2)]
    for state in states:
        net.tensors[state].isVariable = True
    out = net.tensor((*shape[:2], cells), name="sequence")
    inputs = [steps, *weights, -1, -1, -1, *biases, -1, -1, *states, -1, -1, -1, -1]
    options = {"fusedActivationFunction": 4, "cellClip": 10.0}  # 4: tanh
    net.operator("UNIDIRECTIONAL_SEQUENCE_LSTM", inputs, [out], kind="UnidirectionalSequenceLSTMOptions", **options)
    if kinds:
        flat = net.tensor((1, shape[1] * cells))
        sizes = net.constant([1, shape[1] * cells], "int32")
        net.operator("RESHAPE", [out, sizes], [flat], kind="ReshapeOptions")
        out = _dense(net, flat, net.tensor((1, kinds), name="kinds"), shape[1] * cells, kinds)
    return net.write(path, [steps], [out])


def words(path: Path, known: int = 200) -> Path:
    """Numbers of words, of so many that it knows, to a vector each."""
    net = Network()
    numbers = net.tensor((1, 16), "int32", "words")
    table = net.constant(np.ones((known, 4)))
    found = net.operator("GATHER", [table, numbers], [net.tensor((1, 16, 4), name="vectors")], kind="GatherOptions")
    return net.write(path, [numbers], [found])


def sums(path: Path, shapes: Sequence[Sequence[int]] = ((1, 6), (1, 6))) -> Path:
    """Inputs `a`, `b`, … of these shapes, and their sum, [1, 6]."""
    net = Network()
    ends = [net.tensor(shape, name=chr(ord("a") + number)) for number, shape in enumerate(shapes)]
    total = ends[0]
    for end in ends[1:]:
        total = net.operator("ADD", [total, end], [net.tensor((1, 6), name="sum")], kind="AddOptions")
    return net.write(path, ends, [total])


def tones(path: Path) -> Path:
    """As many samples of sound as one likes, [?], each as far from silence as it is."""
    net = Network()
    sound = net.tensor((-1,), name="sound")
    return net.write(path, [sound], [net.operator("ABS", [sound], [net.tensor((-1,), name="loudness")])])


def _dense(net: Network, given: int, made: int, width: int, outputs: int) -> int:
    weights, bias = net.constant(np.full((outputs, width), 0.01)), net.constant(np.zeros(outputs))
    return net.operator("FULLY_CONNECTED", [given, weights, bias], [made], kind="FullyConnectedOptions")
