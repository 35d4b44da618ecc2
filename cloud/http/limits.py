"""What one connection may ask for, and what all of them together may cost."""

from __future__ import annotations

from dataclasses import dataclass

# What the bodies of all requests together may take, and so many of the largest if that is more. A front of some 80 MB
# stays under 300 with it, and a thousand photos of 100 kB fit in.
_BODIES_BYTES, _LARGEST = 128_000_000, 8


@dataclass(frozen=True)
class HttpLimits:
    """Of one connection. header_bytes: request line and headers. send_s: from a request's first byte to its last.

    idle_s: between requests, and before the first: clients open connections ahead. connections: of the whole server, of
    any kind: those that do not speak yet, and those that were refused, count too.
    """

    body_bytes: int = 16 << 20
    header_bytes: int = 16 << 10
    connections: int = 512
    send_s: float = 30.0
    idle_s: float = 75.0

    @property
    def bodies_bytes(self) -> int:
        """Of the bodies of all requests that are arriving or being answered."""
        return max(_BODIES_BYTES, _LARGEST * self.body_bytes)

    @property
    def too_large(self) -> str:
        """What a client is told whose body is."""
        return f"the body is over {self.body_bytes} bytes"

    @property
    def too_long(self) -> str:
        """What a client is told whose head is."""
        return f"request line and headers are over {self.header_bytes} bytes"
