"""A picture of what is confused with what (extra `lab`)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ondevice.confusion import MOST_SHOWN, Confusion, Matrix
from ondevice.models import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")
# A cell holds a number of four digits; the rest is room for names of the length at which longer ones are cut.
_CELL_INCHES, _ROOM_INCHES, _LONGEST_NAME = 0.34, 2.4, 24
# From this share of its row on, a cell is so dark that its number has to be white.
_DARK = 0.6


def draw(confusion: Confusion, title: str, path: Path) -> None:
    """Draw the matrix, of many classes the most confused ones; there must be an answer.

    Raises OnDeviceError where it cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    matrix = confusion.matrix(MOST_SHOWN)
    side = _ROOM_INCHES + _CELL_INCHES * max(len(matrix.classes), 6)
    # The same figures make the same file.
    style: Any = {"svg.hashsalt": "ondevice"}
    with mpl.rc_context(style), warnings.catch_warnings():
        # Of a name whose letters no font here has, boxes are drawn.
        warnings.filterwarnings("ignore", "Glyph", UserWarning)
        figure = Figure(figsize=(side, side), layout="constrained")
        _draw(figure.add_subplot(), matrix)
        figure.suptitle(f"{title}\n{_which(confusion, matrix)}", fontsize=8, parse_math=False)
        metadata = {"Date": None} if path.suffix.lower() == ".svg" else None
        try:
            with files.replacing(path) as out:
                figure.savefig(out, format=path.suffix[1:].lower(), dpi=130, metadata=metadata)
        except OSError as error:
            raise files.explain(error, path) from error


def _which(confusion: Confusion, matrix: Matrix) -> str:
    classes = len(confusion.matrix().classes)
    if len(matrix.classes) == classes:
        return "counts; shaded by the share of the row"
    return f"the {len(matrix.classes)} most confused of {classes} classes: counts; shaded by the share of the row"


def _draw(axes: Axes, matrix: Matrix) -> None:
    counts = np.array([[*row, others] for row, others in zip(matrix.counts, matrix.others, strict=True)])
    if matrix.is_whole:
        counts = counts[:, :-1]
    names = [_cut(name) for name in matrix.names]
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    right = np.eye(*counts.shape, dtype=np.bool_)
    for which, colours in ((right, "Greens"), (~right, "Reds")):
        axes.imshow(np.ma.array(shares, mask=~which | (counts == 0)), cmap=colours, vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        if count:
            colour = "white" if shares[row, column] >= _DARK else "black"
            axes.text(column, row, str(count), ha="center", va="center", fontsize=7, color=colour)
    heads = names if matrix.is_whole else [*names, "others"]
    axes.set_xticks(range(len(heads)), heads, rotation=90, fontsize=7, parse_math=False)
    axes.set_yticks(range(len(names)), names, fontsize=7, parse_math=False)
    axes.set_xlabel("answered", fontsize=8)
    axes.set_ylabel("true class", fontsize=8)
    axes.set_xticks(np.arange(len(heads) + 1) - 0.5, minor=True)
    axes.set_yticks(np.arange(len(names) + 1) - 0.5, minor=True)
    axes.grid(which="minor", color="0.9", linewidth=0.5)
    axes.tick_params(which="minor", length=0)


def _cut(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
