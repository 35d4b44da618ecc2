"""Certificates that nobody vouches for, and servers that show them."""

from __future__ import annotations

import shutil
import ssl
import subprocess
from pathlib import Path

import pytest
from rude import HOST


def self_signed(folder: Path, host: str = HOST) -> tuple[Path, Path]:
    """A certificate of a host, by its IP address, that it has signed itself, and its key; skips without openssl."""
    if not shutil.which("openssl"):
        pytest.skip("no openssl to make a certificate with")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    more = ("-addext", f"subjectAltName=IP:{host}", "-out", cert, "-keyout", key)
    subprocess.run([*command.split(), *more], check=True, capture_output=True)
    return cert, key


def server_context(cert: Path, key: Path) -> ssl.SSLContext:
    """The context of a server that shows this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(cert, key)
    return context
