"""The retry budget: whether more may be sent to a server than its requests themselves, as gRPC's proposal A6 has it."""

from __future__ import annotations

# A6's own example, and what gRPC's clients are mostly given: ten tokens, of which a failure takes one and a success
# gives a tenth of one. In thousandths, as gRPC counts them, so that ten successes are one failure to the last digit.
_MOST, _FAILURE, _SUCCESS = 10_000, 1_000, 100
# More than half of the tokens must be there: five failures in a row, or more than one in eleven requests for long.
_HALF = _MOST // 2


class RetryBudget:
    """What a client may send to one server beyond each request's first send: a retry, a second answer, an exploration.

    The first send is never asked for here and nothing waits: what is not allowed is not sent. So what is sent to a
    server that fails does not grow by what its clients try besides. Neither a refusal nor a late reply is a failure:
    the one is a server's answer, the other may be the network's doing.
    """

    def __init__(self) -> None:
        self._tokens = _MOST

    @property
    def allows(self) -> bool:
        """Whether more may be sent now; asking takes nothing."""
        return self._tokens > _HALF

    def failed(self) -> None:
        """Something that was sent has failed."""
        self._tokens = max(self._tokens - _FAILURE, 0)

    def succeeded(self) -> None:
        """Something that was sent was answered."""
        self._tokens = min(self._tokens + _SUCCESS, _MOST)
