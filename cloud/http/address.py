"""Where the endpoint listens, and the encryption there."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple

from ondevice import words
from ondevice.errors import UsageError


class ListenAddress(NamedTuple):
    """Where to listen; port 0: any that is free. tls: encryption, or None."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        """As a client writes it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http{'s' if self.tls else ''}://{host}:{self.port}"


def tls(certificate: Path, key: Path) -> ssl.SSLContext:
    """Encryption with a certificate (chain) and its key, PEM files. Raises UsageError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        # With an empty passphrase nobody is asked for one at the terminal.
        context.load_cert_chain(certificate, key, password="")
    except ssl.SSLError as error:  # an OSError, whose words are OpenSSL's
        reason = "must be a certificate and its key, PEM, the key without a passphrase"
        raise UsageError(f"--tls-cert {certificate}, --tls-key {key}: {reason}") from error
    except OSError as error:
        raise UsageError(f"--tls-cert {certificate}, --tls-key {key}: {words.reason(error)}") from error
    return context
