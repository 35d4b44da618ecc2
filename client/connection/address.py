"""Where a server is, and how it is known to be the one: its URL, its certificate, and the token that it wants."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from ondevice.errors import UsageError
from ondevice.protocol import headers, paths


class ServerAddress(NamedTuple):
    """Where the server is. path: what stands before /v2 in its URLs. asked_for: the Host that it is to be asked for,
    where that is not where it is, as behind KServe's ingress.
    """

    scheme: str
    host: str
    port: int
    path: str
    asked_for: str = ""

    @classmethod
    def parse(cls, url: str, asked_for: str | None = None) -> ServerAddress:
        """From http(s)://HOST[:PORT][/PATH], /v2 behind it or not. Raises UsageError."""
        if "://" not in url:
            raise UsageError(f"the endpoint '{url}' has no scheme; did you mean http://{url or 'localhost:8000'}?")
        try:
            parts = urlsplit(url)
            port = parts.port
            (parts.hostname or "").encode("idna")  # as looking it up does
        except ValueError as error:
            raise UsageError(f"the endpoint '{url}' is not a URL: {error}") from error
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise UsageError(f"the endpoint '{url}' is not the address of a server; give http(s)://HOST:PORT")
        if parts.username or parts.password:
            raise UsageError("the endpoint's URL holds a password; give a bearer token instead")
        if paths.within(parts.path):
            raise UsageError(f"the endpoint '{url}' is one address of a server; give what stands before its /v2")
        usual = 443 if parts.scheme == "https" else 80
        host = "" if asked_for is None else headers.checked_host(asked_for)
        return cls(parts.scheme, parts.hostname, usual if port is None else port, paths.prefix(parts.path), host)

    @property
    def where(self) -> str:
        """For messages: host and port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def host_header(self) -> str:
        """As the Host header has it: without the usual port, which not every ingress knows to belong to the name."""
        usual = ":443" if self.scheme == "https" else ":80"
        return self.asked_for or self.where.removesuffix(usual)

    @property
    def tls_name(self) -> str:
        """Whose certificate it must have."""
        return headers.host_name(self.asked_for) or self.host


def bearer(token: str | None) -> str | None:
    """The token, without the line break that a file ends in. Raises UsageError for what cannot stand in a header."""
    token = (token or "").strip() or None
    if token and not (token.isascii() and token.isprintable()):
        raise UsageError("the endpoint's token holds other characters than ASCII, or several lines; give one token")
    return token


def tls_context(verify: bool | str | Path) -> ssl.SSLContext:
    """How certificates are judged: by the system's authorities, those in a file, or not at all. Raises UsageError."""
    try:
        made = ssl.create_default_context(cafile=None if isinstance(verify, bool) else verify)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"{verify}: not a file of certificates in PEM: {error}") from error
    made.options |= ssl.OP_NO_RENEGOTIATION  # which would have reading wait for room to send, and sending for bytes
    # From 3.10 on Python has OpenSSL 3 take a connection that is cut for one that is ended.
    made.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    if verify is False:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made
