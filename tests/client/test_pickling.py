"""A client is sent to another process as its settings: names, paths or Runners, the token among them."""

from __future__ import annotations

import asyncio
import multiprocessing
import pickle
import shutil
from collections.abc import Iterator
from multiprocessing.pool import Pool
from pathlib import Path
from typing import Any

import pytest
from good_endpoint import endpoint
from rude import Rude, answering

from ondevice import AsyncOffloadClient, OffloadClient, Runner
from ondevice.client.options import Options
from ondevice.models import zoo

SMALL = "digits_xs_int8"
PICTURE = min(zoo.samples_dir().glob("7/*.png"))
PATIENCE_S = 120.0
LONG_MS = 20_000.0


@pytest.fixture(scope="module")
def process() -> Iterator[Pool]:
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        yield pool


def asked(client: OffloadClient | AsyncOffloadClient, picture: Path) -> tuple[str, int, float, str, bool]:
    """What comes of it there: where, the class, its settings, and whether anything was known beforehand."""
    known = bool(client.totals.requests)
    if isinstance(client, OffloadClient):
        with client:
            answer = client.classify(picture)
    else:
        answer = asyncio.run(_awaited(client, picture))
    return answer.where, answer.index, client.sla_ms, str(client.mode), known


async def _awaited(client: AsyncOffloadClient, picture: Path) -> Any:
    async with client:
        return await client.classify(picture)


@pytest.mark.parametrize("kind", [OffloadClient, AsyncOffloadClient])
@pytest.mark.parametrize("local", ["name", "path", "runner", "several"])
def test_another_process_asks_its_device(kind: Any, local: str, process: Pool, tmp_path: Path) -> None:
    copied = Path(shutil.copy(zoo.find(SMALL).path, tmp_path / "digits_xs_int8.tflite"))
    given = {"name": SMALL, "path": copied, "runner": Runner(SMALL), "several": [SMALL, Runner("digits_s_int8")]}[local]
    client = kind(None, given, LONG_MS, "device")
    where, index, *rest = process.apply_async(asked, (client, PICTURE)).get(PATIENCE_S)
    runner = Runner("digits_s_int8" if local == "several" else SMALL)
    assert (where, index) == ("device", runner.classify(PICTURE).index)
    assert rest == [LONG_MS, "device", False]


@pytest.mark.parametrize("kind", [OffloadClient, AsyncOffloadClient])
def test_another_process_asks_the_endpoint_with_the_same_token(kind: Any, process: Pool) -> None:
    with Rude(answering(endpoint)) as server:
        client = kind(server.url, (), LONG_MS, "cloud", Options(token="secret-and-long-enough"))
        if kind is OffloadClient:
            client.classify(PICTURE)  # it has a thread, a connection and totals of its own
        count = len(server.asked)
        found = process.apply_async(asked, (client, PICTURE)).get(PATIENCE_S)
        assert found == ("cloud", 7, LONG_MS, "cloud", False)
        headers = [each.headers for each in server.asked[count:]]
        asyncio.run(client.close()) if kind is AsyncOffloadClient else client.close()
    assert {each["authorization"] for each in headers} == {"Bearer secret-and-long-enough"}


def test_settings_are_all_that_there_is(tmp_path: Path) -> None:
    with OffloadClient(None, SMALL, LONG_MS, "device") as client:
        client.classify(PICTURE)
        kept = pickle.dumps(client)
    assert len(kept) < 1000
    with pickle.loads(kept) as again:
        assert (again.sla_ms, again.mode, again.options) == (client.sla_ms, client.mode, client.options)
        assert again.totals.requests == 0
        assert again.classify(PICTURE).where == "device", "though the one that it is of is closed"
