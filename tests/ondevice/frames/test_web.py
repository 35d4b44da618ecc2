"""MJPEG over HTTP: links that are cut and come back, cameras that want a name, and what is not a camera."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator

import pytest
from mjpeg import MULTIPART, garbage, part, picture, sending
from rude import Rude, Visit, http

from ondevice.errors import FailureKind, ImageError, RemoteError, UsageError
from ondevice.frames import web
from ondevice.frames.web import WebCamera

FRAMES = [picture(number, noise=20) for number in range(8)]


@pytest.fixture(autouse=True)
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for a camera to restart."""
    monkeypatch.setattr(web, "_FIRST_S", 0.01)
    monkeypatch.setattr(web, "_LOOK_S", 0.01)
    monkeypatch.setattr(web, "_SNAPSHOT_S", 0.0)


def first(camera: WebCamera, count: int) -> list[bytes]:
    """So many pictures, and then it is closed."""
    frames: Iterator[bytes] = iter(camera)
    taken = [*itertools.islice(frames, count)]
    camera.close()
    assert [*frames] == []
    return taken


def test_frames_of_a_multipart_stream() -> None:
    with Rude(sending(FRAMES)) as server:
        camera = WebCamera(f"{server.url}/video?size=640")
        assert first(camera, 8) == FRAMES
    assert server.asked[0].path == "/video?size=640"
    assert (camera.lost, camera.broken) == (0, 0)
    assert camera.name == f"{server.url}/video?..."  # where cheap cameras want a password


def test_a_link_that_is_cut_is_taken_up_again() -> None:
    """Cut between frames, within one, and by a camera that is away for a while."""

    def behave(visit: Visit) -> None:
        assert visit.next()
        if visit.number in (2, 3):
            visit.send(http(status=503))
        elif visit.number == 4:
            visit.reset()
        else:
            visit.send(http(headers=MULTIPART, length=-1))
            start = {0: 0, 1: 3, 5: 5}[visit.number]
            visit.send(part(FRAMES[start]) + part(FRAMES[start + 1]))
            if visit.number == 1:
                visit.send(part(FRAMES[7])[:-300])

    with Rude(behave) as server:
        camera = WebCamera(server.url)
        assert first(camera, 6) == [FRAMES[at] for at in (0, 1, 3, 4, 5, 6)]
    assert camera.lost == 5
    assert camera.broken == 1


def test_a_frame_within_which_a_link_falls_silent_is_broken(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_SILENT_S", 0.2)
    with Rude(sending([FRAMES[0], FRAMES[1][:-200]], FRAMES[2:4], hold=False)) as server:
        camera = WebCamera(server.url)
        assert first(camera, 3) == [FRAMES[0], *FRAMES[2:4]]
    assert camera.broken == 1

    def silent(visit: Visit) -> None:
        assert visit.next()
        visit.send(http(headers=MULTIPART, length=-1) + part(FRAMES[0]))
        if visit.number == 0:
            visit.send(part(FRAMES[1])[:-200])
            visit.pause()

    with Rude(silent) as server:
        camera = WebCamera(server.url)
        assert first(camera, 2) == 2 * [FRAMES[0]]
    assert (camera.broken, camera.lost) == (1, 1)


def test_garbage_between_frames_and_chunks_of_any_size() -> None:
    def behave(visit: Visit) -> None:
        assert visit.next()
        visit.send(http(headers={**MULTIPART, "Transfer-Encoding": "chunked"}, length=-1))
        stream = b"".join(garbage(500, seed) + part(frame) for seed, frame in enumerate(FRAMES))
        for at in range(0, len(stream), 777):
            piece = stream[at : at + 777]
            visit.send(b"%x\r\n%b\r\n" % (len(piece), piece))

    with Rude(behave) as server:
        assert first(WebCamera(server.url), 8) == FRAMES


def test_an_address_of_one_picture_is_asked_again_and_again() -> None:
    def behave(visit: Visit) -> None:
        while visit.next():
            number = len(visit.server.asked) - 1
            visit.send(http(FRAMES[number % 8], headers={"Content-Type": "image/jpeg"}))

    with Rude(behave) as server:
        camera = WebCamera(f"{server.url}/snapshot.jpg")
        assert first(camera, 5) == FRAMES[:5]
    assert camera.lost == 0


def test_name_and_password_are_sent_when_asked_for_and_told_to_nobody() -> None:
    """Basic authentication, as the camera wants it."""

    def behave(visit: Visit) -> None:
        while asked := visit.next():
            given = asked.headers.get("authorization", "")
            if asked.path == "/moved":
                visit.send(http(status=302, headers={"Location": "/video"}))
            elif given == f"Basic {base64.b64encode(b'cam:p@ss').decode()}":
                visit.send(http(headers=MULTIPART, length=-1) + part(FRAMES[0]))
                return
            else:
                visit.send(http(status=401, headers={"WWW-Authenticate": 'Basic realm="camera"'}))

    with Rude(behave) as server:
        address = server.url.replace("http://", "http://cam:p%40ss@")
        camera = WebCamera(f"{address}/video")
        assert first(camera, 1) == FRAMES[:1]
        assert camera.name == f"{server.url}/video"
        assert first(WebCamera(f"{address}/moved"), 1) == FRAMES[:1]
        with pytest.raises(RemoteError, match="name and password stand before the host") as caught:
            first(WebCamera(f"{server.url}/video"), 1)
    assert caught.value.failure is FailureKind.DENIED


def test_digest_authentication() -> None:
    def behave(visit: Visit) -> None:
        while asked := visit.next():
            if 'username="cam"' in asked.headers.get("authorization", ""):
                visit.send(http(headers=MULTIPART, length=-1) + part(FRAMES[0]))
                return
            wanted = 'Digest realm="camera", nonce="abc", qop="auth", algorithm=MD5'
            visit.send(http(status=401, headers={"WWW-Authenticate": wanted}))

    with Rude(behave) as server:
        assert first(WebCamera(server.url.replace("http://", "http://cam:secret@")), 1) == FRAMES[:1]
    assert server.asked[-1].headers["authorization"].startswith("Digest ")
    assert "secret" not in server.asked[-1].headers["authorization"]


@pytest.mark.parametrize(
    ("reply", "said", "kind"),
    [
        (http(b"<html>", headers={"Content-Type": "text/html"}), "is a web page", FailureKind.WRONG),
        (http(status=404), "status 404", FailureKind.MISSING),
        (b"HTTP/1.1 what\r\n\r\n", "HTTP/1.1 what", FailureKind.CUT),
        (b"", "closed connection", FailureKind.CUT),
    ],
)
def test_what_is_not_a_camera_is_an_error_at_once(reply: bytes, said: str, kind: FailureKind) -> None:
    def behave(visit: Visit) -> None:
        if visit.next():
            visit.send(reply)

    with Rude(behave) as server, pytest.raises(RemoteError, match=f"(?i){said}") as caught:
        first(WebCamera(server.url), 1)
    assert caught.value.failure is kind
    assert len(server.visits) == 1


def test_a_stream_without_pictures_is_an_error() -> None:
    with Rude(sending([b"not a picture"])) as server, pytest.raises(ImageError, match="ended before"):
        first(WebCamera(server.url), 1)


def test_nobody_there() -> None:
    with pytest.raises(RemoteError, match="connection refused") as caught:
        first(WebCamera("http://127.0.0.1:9/video"), 1)
    assert caught.value.failure is FailureKind.REFUSED


def test_silence_is_a_lost_link(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_SILENT_S", 0.2)
    with Rude(sending(FRAMES[:2], hold=True)) as server:
        camera = WebCamera(server.url)
        assert first(camera, 5) == [*FRAMES[:2], *FRAMES[:2], FRAMES[0]]
    assert camera.lost == 2
    with Rude(lambda visit: visit.pause()) as server, pytest.raises(RemoteError, match="nothing came") as caught:
        first(WebCamera(server.url), 1)
    assert caught.value.failure is FailureKind.LATE


@pytest.mark.parametrize("url", ["http://", "http://host:port/", "http://[::1/"])
def test_addresses_that_are_none(url: str) -> None:
    with pytest.raises(UsageError, match="is not an address"):
        WebCamera(url)


def test_pauses_grow_while_a_camera_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web, "_LONGEST_S", 0.04)
    pauses: list[float] = []
    failed = web.Backoff.failed

    def noted(self: web.Backoff, now: float) -> None:
        failed(self, now)
        pauses.append(round(self._until - now, 6))

    monkeypatch.setattr(web.Backoff, "failed", noted)

    def behave(visit: Visit) -> None:
        assert visit.next()
        if visit.number in (0, 5):
            visit.send(http(headers=MULTIPART, length=-1) + part(FRAMES[0]))

    with Rude(behave) as server:
        assert len(first(WebCamera(server.url), 2)) == 2
    assert pauses == [0.01, 0.02, 0.04, 0.04, 0.04]
