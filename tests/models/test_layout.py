"""Where height, width and channels stand in a tensor's shape, and which shapes are a picture's."""

from __future__ import annotations

import pytest

from ondevice.models.layout import FREE, Layout


@pytest.mark.parametrize(
    ("signature", "layout"),
    [
        ((1, 224, 192, 3), Layout(224, 192, 3)),
        ((FREE, 224, 192, 3), Layout(224, 192, 3)),
        ((1, FREE, FREE, 3), Layout(FREE, FREE, 3)),
        ((1, 3, 224, 192), Layout(224, 192, 3, channels_first=True)),
        ((1, 3, 224, 3), Layout(3, 224, 3)),
        ((1, 28, 28), Layout(28, 28, 1, rank=3)),
        ((1, 28, 28, 1), Layout(28, 28, 1)),
    ],
)
def test_pictures(signature: tuple[int, ...], layout: Layout) -> None:
    found = Layout.of(signature)
    assert found == layout
    sizes = tuple(5 if side == FREE else side for side in layout.size)
    shape = found.shape((sizes[0], sizes[1]))
    assert all(own in (FREE, size) for own, size in zip(signature, shape, strict=True))
    assert Layout.of(shape) == layout._replace(height=sizes[0], width=sizes[1])


@pytest.mark.parametrize(
    "signature", [(), (1, 10), (2, 8, 8, 3), (1, 8, 8, 2), (1, 0, 8, 3), (1, 1, 8, 8, 3), (1, FREE, FREE, FREE)]
)
def test_what_is_not_one_picture(signature: tuple[int, ...]) -> None:
    assert Layout.of(signature) is None


def test_a_free_size_takes_any_and_a_fixed_one_its_own() -> None:
    free, half = Layout(FREE, FREE, 3), Layout(224, FREE, 3)
    assert free.free
    assert free.fits((1, 9999))
    assert (half.fits((224, 5)), half.fits((223, 5))) == (True, False)
    assert not Layout(8, 8, 3).free
