"""`ondevice serve --ray --replicas 1..2`: as many replicas as a worker's time is worth, by real processes."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")
pytest.importorskip("ray", reason="needs the extra: pip install 'ondevice-cnn[ray]'")

from asked import asked
from PIL import Image
from serving import FAMILY, Endpoint, until

# So many ask at a time: for pictures that take a worker some 60 ms that is more than the deadline has room for.
ASKING, SLA_MS = 12, 400.0


def large() -> bytes:
    """A picture of few bytes that keeps a worker for long: the front passes it on as fast as any. Not so large that
    only some are decoded at a time.
    """
    file = io.BytesIO()
    Image.new("L", (3400, 3400), 200).save(file, "PNG")
    return file.getvalue()


def test_what_is_crowded_out_starts_another_replica_that_serves(tmp_path: Path) -> None:
    flags = ("--ray", "--replicas", "1..2", "--workers", 1, "--models", FAMILY[0])
    with Endpoint(tmp_path, *flags) as endpoint:
        assert endpoint.classify().status_code == 200
        assert len(endpoint.log("replica started")) == 1
        with asked(endpoint, ASKING, picture=large(), sla_ms=SLA_MS) as statuses:
            started = until(lambda: len(found := endpoint.log("replica started")) == 2 and found, 120)
        # Some may be refused; nothing else goes wrong, while there is one and when there are two.
        assert 200 in statuses
        assert set(statuses) <= {200, 503}
        assert len({line["pid"] for line in started}) == 2
        assert endpoint.log("replica ended") == []


@pytest.mark.parametrize("told", ["0", "2..1", "many"])
def test_bounds_that_make_no_sense_are_told(tmp_path: Path, told: str) -> None:
    command = [sys.executable, "-m", "ondevice", "serve", "--ray", "--replicas", told]
    environment = {**os.environ, "ONDEVICE_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("ondevice: error: --replicas must be ")
