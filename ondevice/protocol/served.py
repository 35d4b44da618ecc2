"""A model that is served: what it is, how pictures go to it, and a piece of work for it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from ondevice.protocol.metadata import TensorMetadata
from ondevice.protocol.picture import PictureHead
from ondevice.protocol.upload_shares import UploadShares


@dataclass(frozen=True)
class ServedModel:
    """A model that the endpoint serves.

    top1: its accuracy, a fraction, or None where nobody measured it: then it is served by name only. labels: the names
    of its classes, background left out. where: the backend's name. input, output: its native tensors. crop: the share
    of a picture's shorter side that it looks at, its centre. uploads: what is left of its accuracy by what is sent,
    where that was measured.
    """

    name: str
    labels: tuple[str, ...]
    top1: float | None
    accuracy_data: str
    precision: str
    size_bytes: int
    where: str
    input: TensorMetadata
    output: TensorMetadata
    background: bool = False
    crop: float = 1.0
    uploads: UploadShares | None = None


class Work(NamedTuple):
    """What a backend is to do: a compressed picture, or a model's input tensor. top: how many classes to rank.

    raw: whether the model's own output is wanted too. received: when its last byte came, by perf_counter. picture: what
    the picture's header says, where it may have to be decoded here.
    """

    payload: bytes
    is_picture: bool
    top: int
    raw: bool
    received: float
    picture: PictureHead | None = None

    @property
    def cropped(self) -> float:
        """The share of the picture's shorter side, cut out of the centre, that came; 1: all of it."""
        return self.picture.cropped if self.picture else 1.0
