"""SIGHUP to `ondevice serve`: tokens and certificate are renewed while it serves, and what is wrong is one line."""

from __future__ import annotations

import codecs
import fcntl
import os
import signal
import ssl
import subprocess
import sys
import termios
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from certificates import self_signed
from serving import FAMILY, PICTURE, Endpoint, post, status, until

INFER = "/v2/models/cnnselect/infer"
# Starts in half the time.
ONE = ("--models", FAMILY[0])
OLD, NEW = "the-first-token-of-all", "the-second-token-of-all"
PATIENCE_S = 30.0


def allowed(running: Endpoint, token: str) -> int:
    return running.ask("GET", "/v2", headers={"Authorization": f"Bearer {token}"}).status_code


def hang_up(running: Endpoint) -> dict[str, Any]:
    """What it says to that."""

    def said() -> list[dict[str, Any]]:
        return running.log("reloaded") + running.log("not reloaded")

    before = said()
    running.process.send_signal(signal.SIGHUP)
    (line,) = until(lambda: [line for line in said() if line not in before])
    found: dict[str, Any] = line
    return found


def test_tokens_are_renewed_and_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_bytes(codecs.BOM_UTF8 + f"{OLD}\n".encode())
    with Endpoint(tmp_path, "--tokens", tokens, *ONE) as running, running.connect() as busy:
        assert (allowed(running, OLD), allowed(running, NEW)) == (200, 401), "though the file begins with a BOM"
        request = post(INFER, PICTURE, extra=f"Authorization: Bearer {OLD}\r\n")
        busy.sendall(request[:-10])
        assert allowed(running, OLD) == 200, "by then it has what was sent before"
        tokens.write_text(f"# rotated\n{NEW}\n")
        assert hang_up(running)["event"] == "reloaded"
        assert (allowed(running, OLD), allowed(running, NEW)) == (401, 200)
        busy.sendall(request[-10:])
        assert status(busy.recv(65536)) == 200, "what was let in before is answered"
        tokens.write_text("short\n")
        said = hang_up(running)
        assert (said["event"], said["flag"]) == ("not reloaded", "--tokens")
        assert "can be guessed; make them longer; what was read before still holds" in said["error"]
        tokens.unlink()
        os.mkfifo(tokens)  # which would be waited for
        assert "is not a file that can be read again" in hang_up(running)["error"]
        assert (allowed(running, OLD), allowed(running, NEW)) == (401, 200)
        assert running.stop() == 0
        assert "Traceback" not in running.stderr


def served(running: Endpoint) -> str:
    """The certificate that a new connection is shown."""
    return ssl.get_server_certificate(("127.0.0.1", running.port)).strip()


def test_a_certificate_is_renewed_and_half_of_one_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    (cert, key), (new_cert, new_key) = self_signed(tmp_path), self_signed(tmp_path / "new")
    first, second = cert.read_text().strip(), new_cert.read_text().strip()
    with Endpoint(tmp_path, "--tls-cert", cert, "--tls-key", key, *ONE) as running:
        assert served(running) == first
        new_cert.replace(cert)
        said = hang_up(running)
        assert (said["event"], said["flag"]) == ("not reloaded", "--tls-cert")
        assert served(running) == first
        new_key.replace(key)
        assert hang_up(running)["event"] == "reloaded"
        assert served(running) == second


def test_without_any_file_it_serves_on(tmp_path: Path) -> None:
    with Endpoint(tmp_path, *ONE) as running:
        running.process.send_signal(signal.SIGHUP)
        assert running.ask("GET", "/v2").status_code == 200
        assert running.stop() == 0


@pytest.mark.parametrize(("disposition", "ends"), [(signal.SIG_DFL, True), (signal.SIG_IGN, False)])
def test_when_its_terminal_goes_it_ends_in_order_unless_by_nohup(
    tmp_path: Path, disposition: signal.Handlers, ends: bool
) -> None:
    pty = pytest.importorskip("pty")
    ours, theirs = pty.openpty()

    def in_terminal() -> None:
        signal.signal(signal.SIGHUP, disposition)
        fcntl.ioctl(theirs, termios.TIOCSCTTY, 0)

    command = [sys.executable, "-m", "ondevice", "serve", "--port", "0", *ONE, "--workers", "1"]
    log = tmp_path / "log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=stderr,
            start_new_session=True,
            preexec_fn=in_terminal,
            pass_fds=(theirs,),
        )
    os.close(theirs)
    with process:
        assert process.stdout
        assert process.stdout.readline().startswith(b"http://")
        os.close(ours)
        if not ends:
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(1.0)
            process.terminate()
        assert process.wait(PATIENCE_S) == 0
    assert ("terminal gone" in log.read_text()) is ends
