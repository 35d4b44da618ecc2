"""What the demo is runs with: photos, and an endpoint of its own."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import tempfile
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from serving import children, living, until

from ondevice import Runner
from ondevice.client.picture import Picture, side_for
from ondevice.errors import ServeError
from ondevice.lab.demo.fixtures import SERVED, endpoint, photos
from ondevice.models import zoo


def test_photos_are_as_large_as_a_camera_s() -> None:
    made = photos(20)
    for photo in made:
        with Image.open(io.BytesIO(photo.file)) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (1024, 1024))
        assert 60_000 < len(photo.file) < 160_000
    assert Counter(photo.truth for photo in made) == dict.fromkeys(range(10), 2)


def test_photos_are_always_the_same_and_each_another() -> None:
    assert photos(12) == photos(12)
    assert len({photo.file for photo in photos(12)}) == 12


@pytest.mark.parametrize("model", ["digits_s_int8", "digits_m_int8"])
def test_photos_are_as_easy_as_the_pictures_they_are_made_of(model: str) -> None:
    runner, made = Runner(model), photos(100)
    accuracy = zoo.find(model).card.accuracy
    assert accuracy is not None
    side = side_for(128)
    whole = sum(runner.classify(photo.file).index == photo.truth for photo in made)
    scaled = sum(runner.classify(Picture(photo.file).scaled(side)).index == photo.truth for photo in made)
    # Two standard errors of a share of 100.
    assert whole / 100 == pytest.approx(accuracy.top1, abs=0.08)
    assert abs(whole - scaled) <= 5


def test_the_endpoint_serves_the_family_and_is_gone_afterwards() -> None:
    with endpoint() as port:
        (server,) = servers()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/models/cnnselect") as reply:
            profiles = json.load(reply)["parameters"]["profiles"]
        assert {profile["model"] for profile in profiles} == set(SERVED)
        workers = children(server)
    assert workers
    assert servers() == []
    until(lambda: not living(workers))  # they notice that what started them has ended


def test_an_endpoint_that_does_not_start() -> None:
    with pytest.raises(ServeError, match=r"the endpoint did not start: .*no_such_model"), endpoint(["no_such_model"]):
        raise AssertionError("it is there")


def test_an_endpoint_that_ends_before_its_time() -> None:
    with pytest.raises(ServeError, match="before its time"), endpoint(["digits_xs_int8"]):
        _kill_child()


def test_an_error_meanwhile_is_passed_on() -> None:
    with pytest.raises(ValueError, match="mine"), endpoint(["digits_xs_int8"]):
        raise ValueError("mine")
    assert servers() == []


def test_ctrl_c_in_the_middle_of_the_start_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Interrupted(subprocess.Popen[str]):
        def __init__(self, *arguments: Any, **settings: Any) -> None:
            super().__init__(*arguments, **settings)
            signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    with pytest.raises(KeyboardInterrupt), endpoint(["digits_xs_int8"]):
        raise AssertionError("it was not interrupted")
    assert servers() == []
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(signal.SIGINT) == before


def servers() -> list[int]:
    """The endpoints that this process has started; multiprocessing keeps a helper of its own beside them."""
    return [pid for pid in children(os.getpid()) if b"serve" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def _kill_child() -> None:
    (server,) = servers()
    os.kill(server, signal.SIGKILL)
    os.waitid(os.P_PID, server, os.WEXITED | os.WNOWAIT)
