"""An endpoint for all that harms none, as each start costs seconds, and how Triton's clients send it a picture."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from serving import PICTURE, Endpoint


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    """`ondevice serve` as it is without flags, with the bundled family. Whoever unloads a model loads it again."""
    with Endpoint(tmp_path_factory.mktemp("endpoint")) as running:
        yield running
        assert running.log("internal error") == []
        assert running.log("worker died") == []


@pytest.fixture
def image() -> Callable[[bool], Any]:
    """Makes the input of a picture, in binary or in JSON, which Triton's plain client and its asynchronous one take."""
    triton = pytest.importorskip("tritonclient.http", reason="needs `pip install 'tritonclient[http]'`")

    def make(binary: bool = True) -> Any:
        tensor = triton.InferInput("image", [1], "BYTES")
        value = PICTURE if binary else base64.b64encode(PICTURE)
        tensor.set_data_from_numpy(np.array([value], object), binary_data=binary)
        return tensor

    return make
