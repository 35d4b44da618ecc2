"""A page in headless Chromium, through its DevTools protocol."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
_FLAGS = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0")
_PATIENCE_S = 30.0


class Seen(NamedTuple):
    """What an expression gave in the page, and what the page complained of: errors, and what its policy forbids."""

    value: Any
    complaints: list[str]


def look(url: str, size: tuple[int, int], ready: str, wanted: str, profile: Path, *flags: str) -> Seen:
    """Open a page on a screen of so many pixels, wait until the expression `ready` holds, and evaluate `wanted`.

    profile: a folder for the browser. flags: more of its own.
    """
    command = [str(CHROMIUM), *_FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
    with (
        tempfile.TemporaryDirectory() as sockets,  # which it leaves behind, and whose path must be short
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": sockets}) as browser,
    ):
        try:
            return asyncio.run(_look(_debugging_port(browser), (url, ready, wanted), size))
        finally:
            browser.terminate()


def _debugging_port(browser: subprocess.Popen[str]) -> int:
    assert browser.stderr
    for line in browser.stderr:
        if "DevTools listening on" in line:
            return int(line.split("/")[2].rpartition(":")[2])
    raise AssertionError("Chromium did not start")


async def _look(port: int, page: tuple[str, str, str], size: tuple[int, int]) -> Seen:
    from aiohttp import ClientSession

    url, ready, wanted = page
    async with ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{port}/json") as reply:
            tab = next(each for each in await reply.json() if each["type"] == "page")
        async with session.ws_connect(tab["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            tools = _Tools(socket)
            for part in ("Runtime", "Log", "Page"):
                await tools.call(f"{part}.enable")
            screen = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": size[0] < 500}
            await tools.call("Emulation.setDeviceMetricsOverride", **screen)
            await tools.call("Page.navigate", url=url)
            end = time.monotonic() + _PATIENCE_S
            while not await tools.evaluate(ready):
                assert time.monotonic() < end, f"never: {ready}; {tools.complaints}"
                await asyncio.sleep(0.05)
            return Seen(await tools.evaluate(wanted), tools.complaints)


class _Tools:
    def __init__(self, socket: Any) -> None:
        self._socket, self._numbers = socket, itertools.count(1)
        self.complaints: list[str] = []

    async def evaluate(self, expression: str) -> Any:
        result = await self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        return result["result"].get("value")

    async def call(self, method: str, **parameters: Any) -> Any:
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        while True:
            said = await self._socket.receive_json(timeout=_PATIENCE_S)
            if said.get("id") == number:
                return said["result"]
            if said["method"] == "Runtime.exceptionThrown":
                self.complaints.append(str(said["params"]["exceptionDetails"]))
            elif said["method"] == "Log.entryAdded" and said["params"]["entry"]["level"] == "error":
                self.complaints.append(said["params"]["entry"]["text"])
