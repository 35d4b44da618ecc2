"""A program that ends without closing its client, whatever is under way: at once, and without a word."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from good_endpoint import endpoint
from rude import Rude, deaf

DRIVER = Path(__file__).parents[1] / "support" / "ending_client.py"
# What a program that waits for anything would not end within: its requests have a minute, its pipe all time.
PATIENCE_S = 30.0


def ended(kind: str, folder: Path) -> list[str]:
    """What it printed."""
    with Rude(deaf, told=endpoint) as server:
        done = subprocess.run(
            [sys.executable, str(DRIVER), kind, server.url],
            capture_output=True, text=True, timeout=PATIENCE_S, check=False, cwd=folder,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "destroyed" not in done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("kind", ["sending", "exploring", "working", "piping"])
def test_it_waits_for_nothing(kind: str, tmp_path: Path) -> None:
    assert ended(kind, tmp_path)[-1] == "ends"


def test_threads_that_go_on_after_main_have_their_answers(tmp_path: Path) -> None:
    assert ended("after", tmp_path) == ["ends", *3 * ["device"]]
