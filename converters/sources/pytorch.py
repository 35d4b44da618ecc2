"""A network in PyTorch: LiteRT Torch converts it, and AI Edge Quantizer makes the other files of that one."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ondevice.converters import quantization
from ondevice.converters.export import quiet
from ondevice.converters.pictures import Images, noise, tensors
from ondevice.converters.sources.source import BATCH, Export, Outputs, Source
from ondevice.errors import ConvertError
from ondevice.models.card import Input
from ondevice.models.output import Meaning

# Operations that change no value.
_PASSING = ("view", "reshape", "flatten", "squeeze", "unsqueeze", "clone", "contiguous", "dropout")
# Scores that are all positive and whose sum is within this of 1 come from a softmax: float32 has seven digits.
_SUM = 1e-4


class TorchSource(Source):
    """A module that takes pictures [1, channels, height, width], whose files take [1, height, width, channels]."""

    tools = ("torch", "litert-torch", "ai-edge-quantizer", "ai-edge-litert")

    def __init__(self, network: Any, wanted: Input, architecture: str) -> None:
        self._network = network
        super().__init__(wanted, architecture, sum(parameter.numel() for parameter in network.parameters()))

    def logits(self, images: Images) -> Outputs:
        """What goes into the softmax that it ends with [n, classes], but for what is the same for all classes."""
        scores = self._predict(images)
        if self.meaning.of_two or (scores < 0).any() or (np.abs(scores.sum(axis=1) - 1) > _SUM).any():
            return scores
        return np.log(np.maximum(scores, np.finfo(np.float32).tiny))

    @contextlib.contextmanager
    def exporting(self) -> Iterator[Export]:
        """Within it, what makes files of the network, all of them from one of fp32."""
        fp32 = cache(self._fp32)

        def export(precision: str, calibration: list[NDArray[np.float32]], io: str) -> bytes:
            if precision == "fp32":
                return fp32()
            if precision == "int8":
                return quantization.int8(fp32(), calibration, io)
            return _QUANTIZED[precision](fp32())

        yield export

    def recipe(self, precision: str, io: str) -> str:
        """How a file of a precision is made, for its card."""
        quantized = {
            "fp32": "no quantization",
            "fp16": "AI Edge Quantizer, float16 weights",
            "dynamic": "AI Edge Quantizer, dynamic range: int8 weights, activations quantized as they come",
            "weight_only": "AI Edge Quantizer, int8 weights of convolutions and dense layers, dequantized before use",
            "int8": f"AI Edge Quantizer, full int8: weights, activations; {io} input and output",
        }[precision]
        return f"LiteRT Torch; {quantized}"

    def _fp32(self) -> bytes:
        with quiet():
            import litert_torch

            wrapped = litert_torch.to_channel_last_io(self._network, args=[0])
            wrapped.training = False  # it warns otherwise; the network itself is in evaluation already
            edge = litert_torch.convert(wrapped, (_zeros(self.input).permute(0, 2, 3, 1).contiguous(),))
            with tempfile.TemporaryDirectory() as folder:
                path = Path(folder) / "network.tflite"
                edge.export(str(path))
                return path.read_bytes()

    def _outputs(self, batch: NDArray[np.float32]) -> Outputs:
        return np.concatenate([self._answer(picture) for picture in batch])

    def _answer(self, picture: NDArray[np.float32]) -> Outputs:
        """What it gives for one picture, as its files do."""
        import torch

        with torch.inference_mode():
            given = self._network(torch.from_numpy(picture.transpose(2, 0, 1)[None].copy()))
        if not isinstance(given, torch.Tensor):
            raise ConvertError(f"its output is a {type(given).__name__}, not one tensor: give what returns the scores")
        return np.asarray(given.float().numpy(), np.float32)

    def _meaning_of_one(self) -> Meaning:
        import torch

        graph = torch.export.export(self._network, (_zeros(self.input),)).graph
        (last,) = next(node for node in graph.nodes if node.op == "output").args[0]
        while _operation(last) in _PASSING:
            last = last.args[0]
        return Meaning.PROBABILITY if _operation(last) == "sigmoid" else Meaning.LOGIT


# How files of the precisions that need no calibration are made of one of fp32.
_QUANTIZED = {
    "fp16": quantization.fp16,
    "dynamic": quantization.dynamic,
    "weight_only": quantization.weight_only,
}


def normalize(network: Any, wanted: Input) -> None:
    """Let random weights' batch normalizations divide by the size that noise has there.

    As they are made, they let signals grow or fade from layer to layer, until nothing is left of the pictures. The mean
    stays: taking it out as well would enlarge every rounding with the difference that is left.
    """
    import torch

    normalizations = [layer for layer in network.modules() if hasattr(layer, "running_var")]
    for layer in normalizations:
        layer.momentum = 1.0
    network.train()
    with torch.no_grad():
        network(torch.from_numpy(tensors(noise(BATCH, wanted, 0), wanted).transpose(0, 3, 1, 2).copy()))
        for layer in normalizations:
            layer.running_var += layer.running_mean**2
            layer.running_mean.zero_()
    network.eval()


def _zeros(wanted: Input) -> Any:
    import torch

    return torch.zeros(1, wanted.channels, wanted.height, wanted.width)


def _operation(node: Any) -> str:
    """What a node of a graph computes: `sigmoid` of `aten.sigmoid.default`."""
    return str(node.target).split(".")[1] if node.op == "call_function" else ""
