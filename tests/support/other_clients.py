"""What other people's clients have sent to an endpoint, as it was on the wire: the files in `tests/fixtures/clients`.

Each has the program and its version, how it was used, and its requests: lines of the head, and the body in base64.
"""

from __future__ import annotations

import base64
import json
from http.client import HTTPResponse
from pathlib import Path
from typing import Any, NamedTuple

from serving import Endpoint

FOLDER = Path(__file__).parents[1] / "fixtures" / "clients"


class Sent(NamedTuple):
    """A request. line: its first."""

    line: str
    raw: bytes

    @property
    def path(self) -> str:
        return self.line.split()[1]


class Reply(NamedTuple):
    """What is answered to it now."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The JSON in the body, before binary data if there are any."""
        length = self.headers.get("inference-header-content-length")
        return json.loads(self.body[: int(length)] if length else self.body)


def recorded(program: str) -> list[Sent]:
    """All that it sent, in order."""
    exchange = json.loads((FOLDER / f"{program}.json").read_text())
    return [
        Sent(row["head"][0], "\r\n".join([*row["head"], "", ""]).encode() + base64.b64decode(row["body"]))
        for row in exchange["requests"]
    ]


def replayed(endpoint: Endpoint, requests: list[Sent]) -> list[tuple[str, Reply]]:
    """The reply to each of them, behind its first line; all on one connection."""
    found = []
    with endpoint.connect() as client:
        for request in requests:
            client.sendall(request.raw)
            reply = HTTPResponse(client)
            reply.begin()
            headers = {name.lower(): value for name, value in reply.getheaders()}
            found.append((request.line, Reply(reply.status, headers, reply.read())))
    return found
