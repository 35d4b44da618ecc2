"""A photo to its five best classes without ondevice, as one writes it for one model: what runner.py compares with.

As a script, `python by_hand.py MODEL LABELS PHOTO`, it prints them.
"""

import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from PIL import Image


class ByHand:
    """Classifies with a model that takes and gives uint8, stores pixels as they are, and has a background class."""

    def __init__(self, model: str, labels: list[str]) -> None:
        self._interpreter = Interpreter(model_path=model, num_threads=1)
        self._interpreter.allocate_tensors()
        taken, given = self._interpreter.get_input_details()[0], self._interpreter.get_output_details()[0]
        self._input, self._size = taken["index"], int(taken["shape"][1])
        self._output, (self._scale, self._zero_point) = given["index"], given["quantization"]
        self._labels = labels

    def classify(self, photo: str) -> list[tuple[int, str, float]]:
        """The five best: index, label, score."""
        self._interpreter.set_tensor(self._input, np.asarray(self._open(photo))[None])
        self._interpreter.invoke()
        stored = self._interpreter.get_tensor(self._output)[0, 1:]
        # ~ turns uint8 round, and the stable sort of bytes is the fastest way to the largest of a thousand.
        best = np.argsort(~stored, kind="stable")[:5]
        scores = (stored[best].astype(np.float32) - self._zero_point) * self._scale
        return [(i, self._labels[i], score) for i, score in zip(best.tolist(), scores.tolist(), strict=True)]

    def _open(self, photo: str) -> Image.Image:
        size = self._size
        with Image.open(photo) as image:
            width, height = whole = image.size
            # 2.5 pixels, a side, are left for each that the network sees.
            scale = next((scale for scale in (8, 4, 2) if scale * 2.5 <= min(whole) * 0.875 / size), 1)
            if scale > 1 and (drafted := image.draft("RGB", (width // scale, height // scale))):
                width, height = drafted[1][2:]
            side = min(width, height) * 0.875
            left, top = (width - side) / 2, (height - side) / 2
            small = image.resize((size, size), Image.Resampling.BILINEAR, (left, top, left + side, top + side))
        return small if small.mode == "RGB" else small.convert("RGB")


if __name__ == "__main__":
    classifier = ByHand(sys.argv[1], Path(sys.argv[2]).read_text(encoding="utf-8").splitlines())
    for index, label, score in classifier.classify(sys.argv[3]):
        print(f"{index:4} {score:.3f} {label}")
