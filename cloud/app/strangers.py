"""Where anybody may ask who reaches the endpoint: that no stranger's web page does so through its reader's browser.

A page cannot choose what its browser says of it in `Host`, `Origin` and `Sec-Fetch-Site`. Other clients need not send
them.
"""

from __future__ import annotations

from collections.abc import Mapping

from ondevice.cloud.app import origins
from ondevice.cloud.app.origins import AllowedOrigins
from ondevice.cloud.app.own_hosts import OwnHosts

# From another origin, though a page's own load balancer would say the second.
_ELSEWHERE = ("cross-site", "same-site")
# Of a stranger's name or origin as much is repeated: clients show 200 characters of an error.
_SHOWN = 50


class Strangers:
    """hosts: the names of this endpoint. allowed: pages elsewhere that may ask. encrypted: it is asked by https."""

    def __init__(self, hosts: OwnHosts, allowed: AllowedOrigins, encrypted: bool) -> None:
        self._hosts, self._allowed, self._encrypted = hosts, allowed, encrypted

    def refusal(self, headers: Mapping[str, str], by_any_name: bool = False) -> str | None:
        """Why a request with these headers is not answered. by_any_name: whatever its `Host` is."""
        host = headers.get("host", "")
        if not by_any_name and not self._hosts.include(host):
            shown = host[:_SHOWN]
            return f"'{shown}' is not a name of this endpoint: ask its IP address, or serve with --allow-host NAME"
        if "origin" in headers:
            return self._page_refusal(headers["origin"], host)
        if headers.get("sec-fetch-site") in _ELSEWHERE and headers.get("sec-fetch-mode") != "navigate":
            return "pages of other sites may not ask here: to let one, serve with --cors and its origin"
        return None

    def _page_refusal(self, origin: str, host: str) -> str | None:
        if self._allowed.include(origin) or origins.is_same(origin, host, self._encrypted):
            return None
        return page_refusal(origin)


def page_refusal(origin: str) -> str:
    """What is said of a page that may not ask."""
    return f"pages of '{origin[:_SHOWN]}' may not ask here: to let them, serve with --cors ORIGIN"
