"""A name server that never answers: requests are in time, and the program ends with its main. Real processes."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from serving import PICTURE

# The resolver sleeps so long; whoever waits for it is found out by a tenth of that.
SLEEP_S, SOON_S = 60.0, 6.0
ASLEEP = f"""
import socket, time
real = socket.getaddrinfo
def asleep(host, *arguments, **more):
    if host == "endpoint.example":
        time.sleep({SLEEP_S})
    return real(host, *arguments, **more)
socket.getaddrinfo = asleep
"""
CLIENT = """
import json, sys, time
from ondevice import OffloadClient
from ondevice.errors import OffloadError
mode = sys.argv[1]
client = OffloadClient("http://endpoint.example:8000", "digits_xs_int8", 300, mode)
said = []
for _ in range(3):
    try:
        answer = client.classify(sys.argv[2])
        said.append([answer.where, answer.total_ms])
    except OffloadError as error:
        said.append([str(error), 0.0])
print(json.dumps({"said": said, "ended": time.time()}), flush=True)
"""
COMMAND = """
import sys
from ondevice.cli import main
endpoint = ["--endpoint", "http://endpoint.example:8000", "--local", "digits_xs_int8"]
sys.argv = ["ondevice", "offload", sys.argv[1], *endpoint]
main()
"""


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    path.write_bytes(PICTURE)
    return path


def run(code: str, *arguments: object) -> tuple[str, float]:
    """What it prints, and when it had ended."""
    command = [sys.executable, "-P", "-c", ASLEEP + code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=SLEEP_S, check=True)
    return done.stdout, time.time()


@pytest.mark.parametrize("mode", ["hedge", "auto", "cascade"])
def test_the_device_answers_and_the_program_ends_with_its_main(picture: Path, mode: str) -> None:
    out, ended = run(CLIENT, mode, picture)
    found = json.loads(out)
    assert [where for where, _ in found["said"]] == ["device"] * 3
    assert max(ms for _, ms in found["said"]) < SOON_S * 1e3
    assert ended - found["ended"] < SOON_S


def test_without_a_device_the_error_is_in_time(picture: Path) -> None:
    out, ended = run(CLIENT, "cloud", picture)
    found = json.loads(out)
    assert all("in time" in said for said, _ in found["said"]), found
    assert ended - found["ended"] < SOON_S


def test_the_command_ends(picture: Path) -> None:
    begun = time.time()
    out, ended = run(COMMAND, picture)
    assert "device" in out
    assert ended - begun < SLEEP_S / 2
