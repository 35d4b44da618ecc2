"""What is sent of a picture: what promises most, what is there soonest, or what was asked for."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import engines
import numpy as np
import pytest
from good_endpoint import described
from PIL import Image

from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
from ondevice.client.executors.compression_times import CompressionTimes, detail_of, share_of
from ondevice.client.executors.upload_menu import UploadQuestion, scaled_rung
from ondevice.client.executors.uploads import Uploads
from ondevice.client.network import NetworkEstimates, NetworkSample
from ondevice.client.picture import Picture, Upload
from ondevice.client.upload_choice import UploadChoice, UploadMode
from ondevice.errors import ImageError
from ondevice.protocol.rung import Compression, Rung
from ondevice.selection import ladder as ladders
from ondevice.selection.uploads import SAME_TOP1
from ondevice.upload import compressed

MODELS = {"small": (0.5, 5.0), "large": (0.9, 20.0)}
SIDES = {"small": 128, "large": 224}
TINY, MIDDLE, FULL = Rung(128, 40), Rung(192, 40), Rung(224, 75)
MEASURED = {"small": {TINY: 0.9, MIDDLE: 0.95, FULL: 0.98}, "large": {TINY: 0.6, MIDDLE: 0.85, FULL: 0.95}}
SIZES = {TINY: 2_000.0, MIDDLE: 5_000.0, FULL: 10_000.0}
CROP = 0.875
# Of a link on which nothing but sending takes any time.
SLOW, QUICK = 0.05, 1e-5


def endpoint(with_ladder: bool = True, side: int = 224) -> CnnSelectEndpoint:
    told: dict[str, Any] = {"picture_side": side}
    if with_ladder:
        told["uploads"] = ladders.ladder(SIDES, MEASURED, SIZES, CROP).as_dict()
    return CnnSelectEndpoint(described(MODELS, **told))


def network(ms_per_byte: float, fixed_ms: float = 1.0, size_bytes: int = 10_000) -> NetworkEstimates:
    """After requests of one size, of which the server saw how they came."""
    made, upload_ms = NetworkEstimates(), ms_per_byte * size_bytes
    for _ in range(40):
        made.add(NetworkSample(size_bytes, fixed_ms + upload_ms, upload_ms, 0.0))
    return made


def uploads(ms_per_byte: float, mode: UploadMode | Rung = UploadMode.AUTO) -> Uploads:
    return Uploads(network(ms_per_byte), engines.ENGINE.aside, mode)


def question(
    picture: Picture, within_ms: float, there: CnnSelectEndpoint | None = None, device_top1: float = 0.0
) -> UploadQuestion:
    return UploadQuestion(there or endpoint(), picture, within_ms, device_top1)


def test_where_the_file_is_settled_on_nothing_else_would_have_been_chosen() -> None:
    """The short way comes to what the long one does, wherever it is taken: on links good and bad, soon or late."""
    rng, taken = np.random.default_rng(3), 0
    for _ in range(300):
        ms_per_byte, size = 10.0 ** rng.uniform(-5, -1), int(10 ** rng.uniform(2.5, 4.5))
        asked = question(
            Picture(b"\xff\xd8\xff" + bytes(size)),
            10.0 ** rng.uniform(1, 3),
            device_top1=float(rng.choice([0.0, 0.4, 0.85])),
        )
        of_them = uploads(ms_per_byte)
        whole = of_them._best(asked, None)
        if settled := of_them._settled(asked):
            assert settled.choice == whole.choice
            assert settled.effective_top1 == pytest.approx(whole.effective_top1)
            taken += 1
        assert of_them.choose(asked) == (settled or whole)
    assert 50 < taken < 250


def chosen(
    of_them: Uploads, picture: Picture, within_ms: float, there: CnnSelectEndpoint | None = None
) -> UploadChoice:
    return of_them.choose(question(picture, within_ms, there)).choice


@pytest.fixture(autouse=True)
def no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if making an upload took a millisecond, on however slow a machine."""
    monkeypatch.setattr(CompressionTimes, "expect_ms", lambda self, rung: 1.0)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of several megabytes, of noise."""
    path = tmp_path_factory.mktemp("pictures") / "large.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (1200, 1600, 3), np.uint8)).save(path)
    return path


@pytest.fixture
def picture(large: Path) -> Picture:
    made = Picture(large)
    made.load()
    return made


# auto


@pytest.mark.parametrize(
    ("within_ms", "expected"), [(2000.0, FULL), (300.0, MIDDLE), (290.0, MIDDLE), (150.0, TINY), (20.0, TINY)]
)
def test_the_best_that_is_there_in_time_is_sent(picture: Picture, within_ms: float, expected: Rung) -> None:
    choice = chosen(uploads(SLOW), picture, within_ms)
    assert (choice.rung, choice.crop, choice.told) == (expected, CROP, True)


def test_a_file_that_is_there_in_time_is_better_than_any_part_of_it(picture: Picture) -> None:
    assert chosen(uploads(QUICK), picture, 2000.0).rung is None


def test_of_equally_good_ones_the_smallest_is_sent() -> None:
    small = Picture(b"\xff\xd8\xff" + bytes(500))
    assert chosen(uploads(QUICK), small, 2000.0).rung is None
    measured = {name: dict.fromkeys(SIZES, 1 - SAME_TOP1 / 2) for name in MODELS}
    told = ladders.ladder(SIDES, measured, SIZES, CROP).as_dict()
    there = CnnSelectEndpoint(described(MODELS, picture_side=224, uploads=told))
    assert chosen(uploads(QUICK), Picture(b"\xff\xd8\xff" + bytes(50_000)), 2000.0, there).rung == TINY


def test_what_is_expected_is_the_best_pair_of_upload_and_model(picture: Picture) -> None:
    """At 150 ms only the smallest is in time for the large model, which it leaves 0.54, and the small one 0.45."""
    for device_top1, expected in ((0.0, 0.9 * 0.6), (0.5, 0.9 * 0.6), (0.6, 0.6)):
        found = uploads(SLOW).choose(question(picture, 150.0, device_top1=device_top1))
        assert found.effective_top1 == pytest.approx(expected), "with 0.6 in reserve none adds anything"


def test_pixels_have_no_file_to_send() -> None:
    pixels = Picture(np.zeros((300, 300, 3), np.uint8))
    assert chosen(uploads(QUICK), pixels, 2000.0).rung == FULL


def test_what_this_device_cannot_compress_is_not_chosen(picture: Picture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ondevice.client.executors.compression_times.can_compress", lambda each: each == "jpeg")
    webp = Rung(224, 40, Compression.WEBP)
    measured = {"large": {TINY: 0.5, webp: 0.9}}
    told = ladders.ladder({"large": 224}, measured, {TINY: 2000.0, webp: 2500.0}, 1.0).as_dict()
    there = CnnSelectEndpoint(described({"large": MODELS["large"]}, picture_side=224, uploads=told))
    assert chosen(uploads(SLOW), picture, 1000.0, there).rung == TINY


# Without a ladder, and scaled


@pytest.mark.parametrize(("mode", "with_ladder"), [(UploadMode.AUTO, False), (UploadMode.SCALED, True)])
def test_a_large_picture_is_scaled_when_that_is_sooner(picture: Picture, mode: UploadMode, with_ladder: bool) -> None:
    there = endpoint(with_ladder)
    choice = chosen(uploads(SLOW, mode), picture, 1000.0, there)
    assert (choice.rung, choice.crop, choice.told) == (Rung(256, 90), 1.0, False)
    instant = Uploads(network(0.0, size_bytes=10_000_000), engines.ENGINE.aside, mode)
    assert chosen(instant, picture, 1000.0, there).rung is None


def test_models_that_do_not_tell_their_side_get_the_file(picture: Picture) -> None:
    assert chosen(uploads(SLOW), picture, 1000.0, endpoint(with_ladder=False, side=0)).rung is None


def test_the_side_leaves_what_the_usual_crop_takes() -> None:
    assert [scaled_rung(side).side for side in (7, 224, 299)] == [8, 256, 342]


# Always the same


@pytest.mark.parametrize("with_ladder", [True, False])
def test_one_rung_alone(picture: Picture, with_ladder: bool) -> None:
    choice = chosen(uploads(QUICK, MIDDLE), picture, 2000.0, endpoint(with_ladder))
    assert (choice.rung, choice.told) == (MIDDLE, with_ladder)
    # Who is not told how much was cut out would cut off as much again.
    assert choice.crop == (CROP if with_ladder else 1.0)


def test_the_file_alone(picture: Picture) -> None:
    assert chosen(uploads(SLOW, UploadMode.FILE), picture, 1000.0).rung is None


# Making it


def made(picture: Picture, choice: UploadChoice) -> Upload:
    return engines.awaited(uploads(SLOW).make(question(picture, 200.0), choice))


def test_the_file_is_sent_as_it_is(large: Path) -> None:
    assert made(Picture(large), UploadChoice(None, 1.0)) == Upload(large.read_bytes(), "image/png")


@pytest.mark.parametrize("rung", [MIDDLE, Rung(224, 40, Compression.WEBP)])
@pytest.mark.parametrize("told", [True, False])
def test_a_rung_is_made(large: Path, rung: Rung, told: bool) -> None:
    size_bytes = float(len(compressed(large, rung, CROP)))
    sent = made(Picture(large), UploadChoice(rung, size_bytes, 1.0, CROP, told))
    assert sent[1:] == (rung.compression.media_type, rung, CROP, told)
    with Image.open(io.BytesIO(sent.body)) as image:
        assert image.size == (rung.side, rung.side)


def test_pixels_are_compressed_whatever_was_chosen() -> None:
    assert made(Picture(np.zeros((8, 8, 3), np.uint8)), UploadChoice(None, 1.0)).kind == "image/jpeg"


def test_what_cannot_be_read_here_is_sent_as_it_is() -> None:
    broken = b"\xff\xd8\xff" + bytes(5_000_000)
    assert made(Picture(broken), UploadChoice(MIDDLE, 1.0, 1.0, CROP, told=True)) == Upload(broken, "image/jpeg")


def test_what_is_nothing_is_an_error() -> None:
    with pytest.raises(ImageError):
        made(Picture(b"nothing"), UploadChoice(MIDDLE, 1.0, 1.0))


def test_smaller_pictures_than_usual_are_expected_to_be_smaller_again(large: Path) -> None:
    of_them, picture = uploads(SLOW, MIDDLE), Picture(large)
    before = chosen(of_them, picture, 1000.0)
    sent = engines.awaited(of_them.make(question(picture, 1000.0), before))
    assert len(sent.body) < 0.5 * before.size_bytes, "noise is grey when it is scaled"
    for _ in range(60):
        engines.awaited(of_them.make(question(picture, 1000.0), before))
    assert chosen(of_them, picture, 1000.0).size_bytes == pytest.approx(len(sent.body), rel=0.05)


def test_detail_shows_more_in_a_webp_than_in_a_jpeg() -> None:
    jpeg, webp = Rung(192, 60), Rung(224, 60, Compression.WEBP)
    times = CompressionTimes({each: [1.0] for each in Compression})
    for _ in range(100):
        times.learn(webp, 1.0, 2.0)
    assert share_of(webp, times.detail) == pytest.approx(2.0, rel=0.01)
    assert share_of(jpeg, times.detail) == pytest.approx(2.0 ** (1 / 1.6), rel=0.01)
    assert share_of(webp, detail_of(jpeg, 1.5)) == pytest.approx(1.5**1.6)


def test_what_turns_out_smaller_is_made_again_as_what_there_is_room_for(large: Path) -> None:
    """There is room for 2.7 kB: of the usual picture for the smallest rung, of this one for more. The link is so slow
    that making it is nothing beside it.
    """
    of_them, picture = uploads(100 * SLOW), Picture(large)
    picture.load()
    asked = question(picture, 9_000.0)
    expected = of_them.choose(asked).choice
    assert expected.rung == TINY
    sent = engines.awaited(of_them.make(asked, expected))
    assert sent.rung in (MIDDLE, FULL)


def test_what_is_as_large_as_expected_stays(large: Path) -> None:
    of_them, picture = uploads(SLOW), Picture(large)
    size_bytes = float(len(compressed(large, TINY, CROP)))
    sent = engines.awaited(
        of_them.make(question(picture, 10_000.0), UploadChoice(TINY, 1.05 * size_bytes, 1.0, CROP, told=True))
    )
    assert sent.rung == TINY
