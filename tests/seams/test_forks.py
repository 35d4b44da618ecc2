"""A client that lives through a fork, as gunicorn's `--preload` and multiprocessing have it: real processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from offloading import NOWHERE
from serving import Endpoint

DRIVER = Path(__file__).parents[1] / "support" / "forked_client.py"
MODES = ["device", "cloud", "hedge", "auto", "cascade"]
# A child that hangs is to fail its test alone.
PATIENCE_S = 120.0


def driven(*arguments: str) -> dict[str, Any]:
    """What the driver prints."""
    command = [sys.executable, str(DRIVER), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Traceback" not in done.stderr
    assert "was destroyed" not in done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("up", [True, False], ids=["up", "dead"])
def test_the_child_answers_as_the_parent_does(endpoint: Endpoint, mode: str, up: bool) -> None:
    found = driven(endpoint.url if up else NOWHERE, mode)
    parent, child = found["parent"], found["child"]
    if mode == "cloud" and not up:
        assert parent["answers"] == child["answers"] == 0
        assert set(parent["errors"]) == set(child["errors"]) == {"OffloadError"}
        return
    assert parent["answers"] == child["answers"] == 100
    assert parent["right"] == child["right"] == 100
    if mode in ("cloud", "hedge") and up:
        assert set(child["where"]) == {"cloud"}


def test_what_was_learned_stays_in_the_child(endpoint: Endpoint) -> None:
    assert driven(endpoint.url, "auto")["known"]
