"""The wire, encrypted: whom a client trusts, and the same failures by the same deadlines."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import rude
from certificates import self_signed, server_context
from manners import MANNERS
from rude import HOST, Rude, answering, http, leaving, refusal, stalling
from serving import until
from streams import LARGE, PATIENCE_S, PICTURE, QUICK_S, ask, connect, failure, once

from ondevice.client.connection import address as addresses
from ondevice.errors import UsageError


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def encrypted(certificate: tuple[Path, Path]) -> Iterator[Rude]:
    with Rude(answering(http(b"secret")), tls=server_context(*certificate)) as server:
        yield server


def test_https_by_the_authority_in_a_file(encrypted: Rude, certificate: tuple[Path, Path]) -> None:
    assert once(encrypted.url, verify=str(certificate[0])).body == b"secret"
    assert encrypted.asked[0].headers["host"] == f"{HOST}:{encrypted.port}"


def test_https_whoever_it_is(encrypted: Rude) -> None:
    assert once(encrypted.url, verify=False).body == b"secret"


def test_https_that_nobody_vouches_for(encrypted: Rude) -> None:
    said = "certificate is refused: self.signed certificate; give the file of its authority"
    assert failure(lambda: connect(encrypted.url), said) == "untrusted"
    assert not encrypted.asked


def test_https_with_another_s_certificate(tmp_path: Path) -> None:
    cert, key = self_signed(tmp_path, host="10.1.2.3")
    with Rude(answering(http()), tls=server_context(cert, key)) as server:
        said = "certificate is refused: IP address mismatch"
        assert failure(lambda: connect(server.url, verify=str(cert)), said) == "untrusted"
        connection = connect(server.url, verify=str(cert), asked_for="10.1.2.3")
        assert ask(connection).body == b""
        connection.close()
        assert server.asked[0].headers["host"] == "10.1.2.3", "whose certificate it is"


def test_an_encrypted_connection_is_kept(encrypted: Rude) -> None:
    connection = connect(encrypted.url, verify=False)
    for _ in range(3):
        time.sleep(0.05)  # for the server's session tickets, which come unasked
        assert connection.usable
        assert ask(connection).body == b"secret"
    encrypted.hang_up()
    assert encrypted.visit(0).gone.wait(PATIENCE_S)
    assert not connection.usable
    connection.close()


@pytest.mark.parametrize("name", ["stalls", "stalls in the body", "reads nothing", "drips"])
def test_the_deadline_holds_over_tls(certificate: tuple[Path, Path], name: str) -> None:
    behaviour, expected = MANNERS[name]
    with Rude(behaviour, tls=server_context(*certificate)) as server:
        connection = connect(server.url, verify=False)
        assert failure(lambda: ask(connection, LARGE, within_s=QUICK_S)) == expected


@pytest.mark.parametrize("name", ["closes at once", "closes in the body", "resets", "a body without end", "500"])
def test_failures_over_tls(certificate: tuple[Path, Path], name: str) -> None:
    behaviour, expected = MANNERS[name]
    with Rude(behaviour, tls=server_context(*certificate)) as server:
        assert failure(lambda: once(server.url, verify=False)) == expected


def test_a_large_body_and_a_large_reply_over_tls(certificate: tuple[Path, Path]) -> None:
    body = random.Random(1).randbytes(1_000_000)
    with Rude(answering(lambda asked: http(asked.body)), tls=server_context(*certificate)) as server:
        assert once(server.url, PICTURE._replace(body=body), verify=False).body == body


def test_a_request_s_first_record_fits_into_a_packet(certificate: tuple[Path, Path]) -> None:
    """For a record is read when it is whole: else a small picture would come all at once, however slowly it came."""
    pieces: list[bytes] = []

    def behave(visit: rude.Visit) -> None:
        while sum(map(len, pieces)) < 8_000:
            pieces.append(visit.piece())
        visit.send(http())
        visit.wait()

    with Rude(behave, tls=server_context(*certificate)) as server:
        once(server.url, PICTURE._replace(body=bytes(8_000)), verify=False)
    assert 0 < len(pieces[0]) < 1_300
    assert len(pieces) == 2


def test_a_refusal_is_heard_over_tls_while_the_request_is_still_sent(certificate: tuple[Path, Path]) -> None:
    def behave(visit: rude.Visit) -> None:
        visit.head()
        visit.send(refusal(413, "too large"))
        visit.wait()

    with Rude(behave, tls=server_context(*certificate)) as server:
        connection = connect(server.url, verify=False)
        assert failure(lambda: ask(connection, LARGE), "too large") == "rejected"
        assert not connection.usable


def test_a_body_without_a_length_may_have_been_cut_by_anybody_unless_tls_ends_too(
    certificate: tuple[Path, Path],
) -> None:
    with Rude(leaving(http(b"half", length=-1)), tls=server_context(*certificate)) as server:
        assert failure(lambda: once(server.url, verify=False)) == "cut"


def test_cancelling_over_tls(certificate: tuple[Path, Path]) -> None:
    with Rude(stalling(http(), 3), tls=server_context(*certificate)) as server:
        connection = connect(server.url, verify=False)
        asked = connection.begin()
        until(lambda: connection.heard)
        asked.cancel()
        assert server.visit(0).gone.wait(PATIENCE_S)
        assert not connection.usable


def test_plain_http_to_the_tls_port(encrypted: Rude) -> None:
    assert failure(lambda: once(encrypted.url.replace("https", "http"))) in ("wrong", "cut")
    assert not encrypted.asked


def test_https_to_the_plain_port() -> None:
    def behave(visit: rude.Visit) -> None:
        visit.send(refusal(400, "no HTTP"))

    with Rude(behave) as server:
        url = server.url.replace("http", "https")
        assert failure(lambda: connect(url), "is it http:// there?") == "wrong"


@pytest.mark.parametrize(
    "behaviour", [lambda visit: None, lambda visit: visit.pause(0.05), lambda visit: visit.reset()]
)
def test_a_handshake_that_is_cut(behaviour: rude.Behaviour) -> None:
    with Rude(behaviour) as server:
        url = server.url.replace("http", "https")
        assert failure(lambda: connect(url), "lost before the answer was whole") == "cut"


def test_a_handshake_that_stalls() -> None:
    with Rude(rude.deaf) as server:
        url = server.url.replace("http", "https")
        assert failure(lambda: connect(url, QUICK_S), "connected, but no TLS within 0") == "late"


def test_a_file_that_holds_no_certificates(tmp_path: Path) -> None:
    for content in (None, b"", b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----\n"):
        path = tmp_path / "authority.pem"
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(UsageError, match=r"authority\.pem: not a file of certificates"):
            addresses.tls_context(str(path))
