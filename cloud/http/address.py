"""Where the endpoint listens, and the encryption there."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from ondevice import words
from ondevice.errors import UsageError


class Certificate:
    """A certificate (chain) and its key, PEM files. context: encryption with them, for new connections.

    Raises UsageError.
    """

    def __init__(self, certificate: Path, key: Path) -> None:
        self.paths = certificate, key
        self.context = _context(certificate, key)

    def reload(self) -> None:
        """What the files have now is the certificate. Raises UsageError, and keeps the one that there was."""
        self.context = _context(*self.paths)


class ListenAddress(NamedTuple):
    """Where to listen; port 0: any that is free. tls: encryption, or None."""

    host: str
    port: int
    tls: Certificate | None = None

    @property
    def url(self) -> str:
        """As a client writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}"


def _context(certificate: Path, key: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    for path in (certificate, key):
        if path.is_char_device():  # OpenSSL would read it to its end
            raise UsageError(f"--tls-cert {certificate}, --tls-key {key}: {path} is a device, not a file")
    try:
        # With an empty passphrase nobody is asked for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:  # an OSError, whose words are OpenSSL's
        reason = "must be a certificate and its key, PEM, the key without a passphrase"
        raise UsageError(f"--tls-cert {certificate}, --tls-key {key}: {reason}") from error
    except OSError as error:
        raise UsageError(f"--tls-cert {certificate}, --tls-key {key}: {words.reason(error)}") from error
    return context
