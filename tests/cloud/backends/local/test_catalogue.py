"""How workers are asked what the models are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest
from faulty import copied
from serving import FAMILY

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.backends.local import catalogue
from ondevice.cloud.backends.workers.frames import Message
from ondevice.cloud.backends.workers.handle import WorkerHandle
from ondevice.errors import ModelError


class Asked(list[tuple[str, str]]):
    """A worker that remembers what it was asked."""

    async def ask(self, message: Message, expected_ms: float, loads: bool) -> tuple[Message, bytes]:
        self.append((message["op"], message["model"]))
        return {"name": message["model"]}, b""


def described(*sources: str) -> Asked:
    asked = Asked()
    messages = asyncio.run(catalogue.described(cast(WorkerHandle, asked), sources))
    assert [message["name"] for message in messages] == list(sources)
    return asked


def test_only_the_models_that_are_served_are_loaded_the_smallest_first_and_twice(tmp_path: Path) -> None:
    large, small = (str(copied(tmp_path, name)) for name in (FAMILY[3], FAMILY[1]))
    assert described(large, small) == [("load", small), ("unload", small), ("describe", large), ("describe", small)]


def test_a_model_that_is_not_there_is_an_error_of_the_start(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no such file"):
        described(str(tmp_path / "none.tflite"))
