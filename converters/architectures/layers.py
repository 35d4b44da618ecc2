"""What the networks that are written here are made of: convolutions with their normalization, and blocks of them."""

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

from ondevice.converters.export import tensorflow

Kernel: TypeAlias = "int | tuple[int, int]"
# A branch of convolutions: (filters, kernel) each, all of stride 1 and padded.
Branch: TypeAlias = "tuple[tuple[int, Kernel], ...]"


def linear(x: Any, filters: int, kernel: Kernel, stride: int = 1, padding: str = "same") -> Any:
    """A convolution without a bias, and its batch normalization."""
    layers = tensorflow().keras.layers
    return layers.BatchNormalization()(layers.Conv2D(filters, kernel, stride, padding=padding, use_bias=False)(x))


def convolution(x: Any, filters: int, kernel: Kernel, stride: int = 1, padding: str = "same") -> Any:
    """A convolution without a bias, its batch normalization, and ReLU."""
    return tensorflow().keras.layers.ReLU()(linear(x, filters, kernel, stride, padding))


def chain(x: Any, branch: Branch) -> Any:
    """The convolutions of a branch, one behind the other."""
    for filters, kernel in branch:
        x = convolution(x, filters, kernel)
    return x


def joined(*branches: Any) -> Any:
    """The branches' channels behind each other."""
    return tensorflow().keras.layers.Concatenate()(list(branches))


class Inverted(NamedTuple):
    """An inverted residual block: its depthwise kernel and stride, times more channels inside, filters out."""

    kernel: int
    stride: int
    expansion: int
    filters: int


def inverted_residual(x: Any, block: Inverted, most: float | None = None) -> Any:
    """Expanded channels, a depthwise convolution, and linear ones; added to `x` where the shapes agree.

    Sandler et al. 2018, arXiv 1801.04381, figure 3. most: where the ReLUs end; None: without bound.
    """
    layers = tensorflow().keras.layers
    y = layers.ReLU(most)(linear(x, x.shape[-1] * block.expansion, 1)) if block.expansion > 1 else x
    y = layers.DepthwiseConv2D(block.kernel, block.stride, padding="same", use_bias=False)(y)
    y = layers.ReLU(most)(layers.BatchNormalization()(y))
    y = linear(y, block.filters, 1)
    return layers.Add()([x, y]) if x.shape[1:] == y.shape[1:] and block.stride == 1 else y


def rounded(filters: float, divisor: int = 8) -> int:
    """`filters` to a multiple of 8, never more than a tenth below: how scaled networks count their channels."""
    nearest = max(divisor, int(filters + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * filters else nearest
