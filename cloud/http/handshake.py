"""The TLS handshake of a connection that has been accepted already, so that it is counted while it lasts."""

from __future__ import annotations

import asyncio
import ssl
from typing import Any

# To agree on encryption, which takes two round trips.
_HANDSHAKE_S = 10.0


async def secured(plain: Any, protocol: asyncio.Protocol, tls: ssl.SSLContext) -> Any:
    """The encrypted transport over a plain one; None where the client speaks no TLS, takes too long, or has gone."""
    loop = asyncio.get_running_loop()
    try:
        # None by itself, where the client has gone: so does asyncio of Python 3.11.2.
        return await loop.start_tls(plain, protocol, tls, server_side=True, ssl_handshake_timeout=_HANDSHAKE_S)
    except (OSError, EOFError):
        return None
