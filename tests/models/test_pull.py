"""Pulling models from a real server that behaves, and from ones that do not."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import http.server
import os
import random
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ondevice import Runner
from ondevice.errors import DownloadError, ModelError
from ondevice.models import pull as pulling
from ondevice.models import zoo
from ondevice.models.card import Card
from ondevice.models.pull import pull

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
Reply = Callable[[http.server.BaseHTTPRequestHandler], None]

NAME, REAL = "made_up", "mobilenet_v1_0.25_128_quant"
CONTENT = random.Random(0).randbytes(300_000)
OTHER = random.Random(1).randbytes(300_000)
LOCK = f".{NAME}.tflite.lock"
# Pulls the model of a card, as a process of its own.
PULL = """
import sys
from pathlib import Path
from ondevice.models import zoo
from ondevice.models.card import Card
from ondevice.models.pull import pull
card = Card.read(Path(sys.argv[1]))
print("ready", flush=True)
print(pull(zoo.Entry(card, Path(sys.argv[1]), zoo.pulled_dir() / card.file_name, "pulled")))
"""


class Server(http.server.ThreadingHTTPServer):
    """Answers each GET with the next of `replies`, and once there is one left with that; `asked` are the paths."""

    daemon_threads = False  # closing waits for all answers

    def __init__(self) -> None:
        self.replies: list[Reply] = []
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", 0), Handler)

    def url(self, path: str = "") -> str:
        return f"http://127.0.0.1:{self.server_port}/{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, Server)
        self.server.asked.append(self.path)
        replies = self.server.replies
        with contextlib.suppress(ConnectionError):
            (replies.pop(0) if len(replies) > 1 else replies[0])(self)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing on the screen."""


def reply(content: bytes = CONTENT, length: int | None = -1, status: int = 200) -> Reply:
    """Sends `content` and closes; length: what Content-Length says, None to leave it out, -1 for the truth."""

    def send(handler: http.server.BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        if length is not None:
            handler.send_header("Content-Length", str(len(content) if length < 0 else length))
        handler.end_headers()
        handler.wfile.write(content)

    return send


CUT = reply(CONTENT[:200_000], len(CONTENT))


def stalled(until: threading.Event) -> Reply:
    """Sends two thirds, then nothing before `until` is set."""

    def send(handler: http.server.BaseHTTPRequestHandler) -> None:
        CUT(handler)
        handler.wfile.flush()
        until.wait(120)

    return send


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.fixture
def entry(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> zoo.Entry:
    """A small made-up model in a zoo whose only pullable model it is."""
    card = dataclasses.replace(
        zoo.find(REAL).card,
        name=NAME, size_bytes=len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest(),
        source=server.url(f"{NAME}.tflite"),
    )  # fmt: skip
    cards = tmp_path / "cards"
    card.write(cards / f"{NAME}.toml")
    monkeypatch.setattr(zoo, "_PULLABLE", cards)
    return zoo.find(NAME)


def cached() -> list[str]:
    return sorted(path.name for path in zoo.pulled_dir().iterdir())


def refused(entry: zoo.Entry, source: str | None = None, force: bool = False) -> str:
    """The one-line message of a pull that fails, and that takes back what it told of its progress."""
    pieces: list[int] = []
    with pytest.raises(DownloadError) as caught:
        pull(entry, source, force, pieces.append)
    assert "\n" not in str(caught.value)
    assert caught.value.source
    assert sum(pieces) == 0
    return str(caught.value)


def test_a_pull_puts_the_file_in_place_and_tells_of_its_progress(entry: zoo.Entry, server: Server) -> None:
    server.replies = [reply()]
    pieces: list[int] = []
    assert pull(entry, on_bytes=pieces.append) is True
    assert entry.path.read_bytes() == CONTENT
    assert cached() == [LOCK, f"{NAME}.tflite"]
    assert len(pieces) > 1
    assert sum(pieces) == len(CONTENT)
    assert server.asked == [f"/{NAME}.tflite"]


def test_what_is_there_is_not_fetched_again_unless_forced(entry: zoo.Entry, server: Server) -> None:
    server.replies = [reply()]
    assert pull(entry) is True
    assert pull(entry) is False
    assert len(server.asked) == 1
    assert pull(entry, force=True) is True
    assert len(server.asked) == 2
    assert entry.path.read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("answer", "message", "requests"),
    [
        (CUT, "the connection broke off, 3 times; try again later, or use --from FOLDER$", 3),
        (reply(CONTENT[:9], None), "the connection broke off after 9 of 300000 bytes, 3 times", 3),
        (reply(b""), "the connection broke off after 0 of 300000 bytes, 3 times", 3),
        (reply(b"busy", status=503), "the server answered 503, 3 times; try again later", 3),
        (reply(OTHER), r"wrong content \(sha256 [0-9a-f]{12}…, its card says [0-9a-f]{12}…\); nothing was kept$", 1),
        (reply(OTHER, None), "wrong content", 1),
        (reply(CONTENT + b"x"), "longer than the 300000 bytes its card says; it is not that file$", 1),
        (reply(CONTENT + OTHER, None), "longer than the 300000 bytes", 1),
        (reply(b"gone", status=404), "the server answered 404; check --from, or try a mirror$", 1),
        (reply(CONTENT, status=206), "the server answered 206", 1),
    ],
    ids=[
        "cut", "shorter", "empty", "503", "other bytes", "other bytes, no length", "longer", "longer, no length",
        "404", "not 200",
    ],
)  # fmt: skip
def test_what_is_not_the_file_is_not_kept(
    answer: Reply, message: str, requests: int, entry: zoo.Entry, server: Server
) -> None:
    server.replies = [answer]
    assert re.match(rf"{re.escape(entry.card.source)}: {message}", refused(entry))
    assert len(server.asked) == requests
    assert cached() == [LOCK]


@pytest.mark.parametrize(
    "first", [CUT, reply(b"broken", status=500), reply(CONTENT[:9], None)], ids=["cut", "500", "shorter"]
)
def test_a_second_try_succeeds(first: Reply, entry: zoo.Entry, server: Server) -> None:
    server.replies = [first, reply()]
    pieces: list[int] = []
    assert pull(entry, on_bytes=pieces.append) is True
    assert entry.path.read_bytes() == CONTENT
    assert (len(server.asked), sum(pieces)) == (2, len(CONTENT))
    assert cached() == [LOCK, f"{NAME}.tflite"]


def test_a_server_that_falls_silent_is_asked_again(
    entry: zoo.Entry, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "_TIMEOUT_S", (10.0, 0.5))
    silent = threading.Event()
    server.replies = [stalled(silent), stalled(silent), stalled(silent), reply()]
    try:
        assert "the connection broke off, 3 times" in refused(entry)
        assert cached() == [LOCK]
    finally:
        silent.set()
    assert len(server.asked) == 3


def test_a_failing_pull_leaves_the_cache_as_it_was(entry: zoo.Entry, server: Server) -> None:
    server.replies = [reply(), CUT]
    pull(entry)
    refused(entry, force=True)
    assert entry.path.read_bytes() == CONTENT
    assert cached() == [LOCK, f"{NAME}.tflite"]


def test_a_corrupt_file_is_refused_and_then_replaced(entry: zoo.Entry, server: Server) -> None:
    entry.path.parent.mkdir(parents=True)
    entry.path.write_bytes(OTHER)
    hint = f"is not the file that its card describes: get it with `ondevice models pull {NAME} --force`"
    with pytest.raises(ModelError, match=rf"^{NAME}: [^\n]*{hint}$"):
        Runner(NAME)
    server.replies = [reply()]
    assert pull(entry) is True
    assert entry.path.read_bytes() == CONTENT


@pytest.mark.parametrize("from_folder", [False, True])
def test_a_full_disk(from_folder: bool, entry: zoo.Entry, server: Server, tmp_path: Path) -> None:
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("mounts a small file system: needs Linux and root")
    server.replies = [reply()]
    (tmp_path / entry.card.file_name).write_bytes(CONTENT)
    zoo.pulled_dir().mkdir(parents=True)
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(zoo.pulled_dir())]
    done = subprocess.run(mount, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"mounts a small file system: {done.stderr.strip()}")
    try:
        message = refused(entry, str(tmp_path) if from_folder else None)
        assert cached() == [LOCK]
    finally:
        subprocess.run(["umount", str(zoo.pulled_dir())], check=True)
    said = f"{zoo.pulled_dir()}: no space left; {NAME}.tflite needs 0.3 MB there (ONDEVICE_HOME moves it)"
    assert message == said


def test_a_file_where_the_cache_should_be(entry: zoo.Entry, home: Path, server: Server) -> None:
    (home / "cache").write_text("")
    assert refused(entry).endswith(" (ONDEVICE_HOME moves it)")
    assert server.asked == []


def started(entry: zoo.Entry) -> subprocess.Popen[str]:
    """A process that is about to pull `entry`."""
    command = [sys.executable, "-c", PULL, str(entry.card_path)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def finished(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=120)
    assert (process.returncode, errors) == (0, "")
    return out.strip()


def test_two_pulls_at_once_fetch_the_file_once(entry: zoo.Entry, server: Server) -> None:
    both = threading.Event()

    def send(handler: http.server.BaseHTTPRequestHandler) -> None:
        both.wait(120)
        reply()(handler)

    server.replies = [send]
    try:
        processes = [started(entry), started(entry)]
    finally:
        both.set()
    assert sorted(map(finished, processes)) == ["False", "True"]
    assert len(server.asked) == 1
    assert entry.path.read_bytes() == CONTENT
    assert cached() == [LOCK, f"{NAME}.tflite"]


def test_a_pull_after_one_that_was_killed(entry: zoo.Entry, server: Server) -> None:
    silent = threading.Event()
    server.replies = [stalled(silent), reply()]
    process = started(entry)
    try:
        deadline = time.monotonic() + 120
        while not list(zoo.pulled_dir().glob(".*.part")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
    finally:
        process.kill()
        process.communicate()
        silent.set()
    assert [name for name in cached() if name.endswith(".part")], "the case needs a part left behind"
    assert pull(entry) is True
    assert entry.path.read_bytes() == CONTENT
    assert cached() == [LOCK, f"{NAME}.tflite"]


def test_no_network_is_a_hint_at_folders(entry: zoo.Entry) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    card = dataclasses.replace(entry.card, source=f"http://127.0.0.1:{port}/x.tflite")
    message = refused(entry._replace(card=card))
    assert message.startswith(f"cannot reach {card.source}: no network? ")
    assert message.endswith(f"fetch {NAME}.tflite elsewhere and use `--from FOLDER`")
    assert cached() == [LOCK]


def test_a_folder_that_holds_the_file(entry: zoo.Entry, server: Server, tmp_path: Path) -> None:
    (tmp_path / entry.card.file_name).write_bytes(CONTENT)
    assert pull(entry, str(tmp_path)) is True
    assert entry.path.read_bytes() == CONTENT
    assert cached() == [LOCK, f"{NAME}.tflite"]
    assert server.asked == []


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (OTHER, "wrong content"),
        (CONTENT[:-1], "wrong content"),
        (CONTENT + b"x", "longer than the 300000 bytes"),
        (None, f"no such file or directory; --from takes a folder that holds {NAME}.tflite, or a URL"),
    ],
    ids=["other bytes", "shorter", "longer", "missing"],
)
def test_a_folder_without_the_file(content: bytes | None, message: str, entry: zoo.Entry, tmp_path: Path) -> None:
    origin = tmp_path / entry.card.file_name
    if content is not None:
        origin.write_bytes(content)
    assert refused(entry, str(tmp_path)).startswith(f"{origin}: {message}")
    assert cached() == [LOCK]
    assert content is None or origin.read_bytes() == content


@pytest.mark.parametrize("source", ["~nobody-of-this-name", "ftp://127.0.0.1", "", "http://", "http://[x"])
def test_sources_that_are_none(source: str, entry: zoo.Entry) -> None:
    assert "--from" in refused(entry, source)
    assert cached() == [LOCK]


@pytest.mark.parametrize("slash", ["", "/"])
def test_a_mirror(slash: str, entry: zoo.Entry, server: Server) -> None:
    server.replies = [reply()]
    assert pull(entry, server.url("some/mirror") + slash) is True
    assert server.asked == [f"/some/mirror/{NAME}.tflite"]
    assert entry.path.read_bytes() == CONTENT


def test_the_command(cli: Cli, data: Path, tmp_path: Path) -> None:
    done = cli("models", "pull", REAL, "--from", data / "tflite")
    path = zoo.find(REAL).path
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{path}\n", "")
    assert hashlib.sha256(path.read_bytes()).hexdigest() == Card.read(zoo.find(REAL).card_path).sha256
    again = cli("models", "pull", REAL, "mobilenet_v1_0.5_160_quant", "--from", tmp_path)
    assert (again.returncode, again.stdout) == (1, f"{path} (was there already)\n")
    assert again.stderr.startswith("ondevice: error: ")
    assert again.stderr.count("\n") == 1


def test_the_command_on_a_bundled_model(cli: Cli) -> None:
    done = cli("models", "pull", "digits_xs_fp32")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "ondevice: error: digits_xs_fp32 is bundled: there is nothing to pull\n"
