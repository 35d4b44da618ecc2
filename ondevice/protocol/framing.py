"""Whether a server takes and gives tensors in the binary extension, which no server must.

Servers list it among their extensions; some that do not (KServe's) take it all the same, others (MLServer's) fail. So
where it is not listed it is tried, and JSON, which all must take, after it.
"""

from __future__ import annotations

from collections.abc import Collection

from ondevice.errors import FailureKind

BINARY_EXTENSION = "binary_tensor_data"
# How a message that was not understood is answered: MLServer answers 500.
_NOT_UNDERSTOOD = (FailureKind.REJECTED, FailureKind.WRONG)


class Framing:
    """Of the messages to one server, for all its models. binary: whether the next one is sent in binary."""

    def __init__(self) -> None:
        self.binary, self._certain = True, False

    def listed(self, extensions: Collection[str]) -> None:
        """Learn what extensions the server lists."""
        self._certain = BINARY_EXTENSION in extensions

    def understood(self, binary: bool) -> None:
        """A message was answered well, so that this is how they are sent for good."""
        self.binary, self._certain = binary, True

    def again(self, binary: bool, failure: FailureKind) -> bool:
        """A message has failed so. Whether that may be due to its framing, and it is to be sent again in JSON."""
        if failure not in _NOT_UNDERSTOOD:
            return False
        if self._certain:
            return binary and not self.binary  # it was under way when another found out
        # Where JSON has failed too, it was something else, and nothing is known yet.
        self.binary = not binary
        return binary
