"""Frames arrive whole, however the sockets between cut them."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Iterable, Iterator
from typing import cast

import pytest

from ondevice.cloud.backends.workers.frames import Channel, Message, Reader, frame

FRAMES: list[tuple[Message, bytes]] = [
    ({"op": "image", "top": 5}, bytes(range(256)) * 400),
    ({}, b""),
    ({"error": "Größe", "times": [0.25, 1e300]}, b"\x00"),
]


def wire(message: Message, payload: bytes) -> bytes:
    return b"".join(frame(message, payload))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


@pytest.mark.parametrize("size", [1, 7, 4096, 1 << 20])
def test_a_reader_gives_the_frames_that_are_whole(size: int) -> None:
    reader, sent = Reader(), b"".join(wire(*each) for each in FRAMES)
    found = [each for at in range(0, len(sent), size) for each in reader.feed(sent[at : at + size])]
    assert found == FRAMES


def test_a_reader_keeps_what_is_not_whole() -> None:
    reader, sent = Reader(), wire(*FRAMES[0])
    assert list(reader.feed(sent[:-1])) == []
    assert list(reader.feed(sent[-1:])) == [FRAMES[0]]


def test_a_channel_gives_one_frame_after_the_other(ends: tuple[socket.socket, socket.socket]) -> None:
    for each in FRAMES:
        ends[0].sendall(wire(*each))
    channel = Channel(ends[1])
    assert [channel.receive() for _ in FRAMES] == FRAMES


def test_a_channel_sends_what_a_reader_reads(ends: tuple[socket.socket, socket.socket]) -> None:
    channel = Channel(ends[1])
    for message, payload in FRAMES:
        channel.send(message, memoryview(payload))
    ends[1].close()
    sent = b"".join(iter(lambda: ends[0].recv(1 << 16), b""))
    assert list(Reader().feed(sent)) == FRAMES


@pytest.mark.parametrize("left", [0, 3, 8, 20, 5000])
def test_a_channel_says_that_the_other_end_is_gone(left: int, ends: tuple[socket.socket, socket.socket]) -> None:
    ends[0].sendall(wire(*FRAMES[0])[:left])
    ends[0].close()
    with pytest.raises(EOFError):
        Channel(ends[1]).receive()


def test_a_channel_waits_for_the_rest_whatever_signals_come(ends: tuple[socket.socket, socket.socket]) -> None:
    sent, came = wire(*FRAMES[0]), threading.Event()

    def send() -> None:
        ends[0].sendall(sent[:50_000])
        came.wait(10)
        time.sleep(0.01)  # let the read that was interrupted begin again
        ends[0].sendall(sent[50_000:])

    before = signal.signal(signal.SIGALRM, lambda *_: came.set())
    sender = threading.Thread(target=send)
    sender.start()
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        assert Channel(ends[1]).receive() == FRAMES[0]
        assert came.is_set()
    finally:
        signal.signal(signal.SIGALRM, before)
        came.set()
        sender.join()


class Interrupted:
    """As much of a socket as sending takes: of what is sent together it takes only so much at once."""

    def __init__(self, at_once: int) -> None:
        self.at_once = at_once
        self.sent: list[bytes] = []

    def sendmsg(self, parts: Iterable[bytes]) -> int:
        self.sent.append(b"".join(parts)[: self.at_once])
        return len(self.sent[-1])

    def sendall(self, part: memoryview) -> None:
        self.sent.append(bytes(part))


@pytest.mark.parametrize("at_once", [1, 9, 60, 1000])
def test_a_frame_whose_sending_a_signal_interrupts_is_sent_to_its_end(at_once: int) -> None:
    connection = Interrupted(at_once)
    Channel(cast(socket.socket, connection)).send(*FRAMES[0])
    assert b"".join(connection.sent) == wire(*FRAMES[0])


def test_a_frame_is_sent_at_once_so_that_the_other_end_is_woken_once() -> None:
    connection = Interrupted(1 << 20)
    for each in FRAMES:
        Channel(cast(socket.socket, connection)).send(*each)
    assert connection.sent == [wire(*each) for each in FRAMES]
