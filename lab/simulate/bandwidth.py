"""The bandwidth that Jellyfish's client learns, as its published code does."""

from __future__ import annotations

from collections import deque
from statistics import harmonic_mean

# All of these are the authors' (vuhpdc/jellyfish, `src/utils.py`, `src/client/controller_client.py`): the weight of the
# past in the mean error, how many of those are remembered, and how far the time on the wire is trusted.
_PAST, _ERRORS, _WIRE_TRUST = 0.6, 10, 0.9
# And (`src/server/controller/manager.py`) the server takes the harmonic mean over the last second.
_REMEMBERED_MS = 1000.0
# As in `client/network.py`, before the first request: 10 Mbit/s.
_FIRST_BYTES_A_MS = 10e3 / 8
# A transfer is never quicker: a division is wanted.
_SHORTEST_MS = 0.1


class ErrorFilter:
    """A mean that follows quickly where it has been wrong of late (Kim and Noble, Mobile Network Estimation, 2001)."""

    def __init__(self) -> None:
        self._errors: deque[float] = deque(maxlen=_ERRORS)
        self._error: float | None = None
        self._mean: float | None = None

    def update(self, value: float) -> float:
        """The mean, with this value in it."""
        if self._mean is None:
            self._mean = value
            return value
        error = abs(self._mean - value)
        self._error = error if self._error is None else _PAST * self._error + (1 - _PAST) * error
        self._errors.append(self._error)
        largest = max(self._errors)
        kept = 1 - self._error / largest if largest else 1.0
        self._mean = kept * self._mean + (1 - kept) * value
        return self._mean


class JellyfishBandwidth:
    """wire_ms: one way, of a packet."""

    def __init__(self, wire_ms: float) -> None:
        self._wire_ms = wire_ms
        self._model: int | None = None
        self._network = ErrorFilter()
        self._told: deque[tuple[float, float]] = deque()  # when, and bytes a ms

    def learn(self, at_ms: float, size_bytes: float, network_ms: float, model: int) -> None:
        """A request of so many bytes took so long on the network, both ways, for this model's input."""
        if model != self._model:
            self._model, self._network = model, ErrorFilter()
        smoothed_ms = self._network.update(network_ms)
        rate = size_bytes / max(smoothed_ms - _WIRE_TRUST * self._wire_ms, _SHORTEST_MS)
        self._told.append((at_ms, rate))
        while len(self._told) > 1 and self._told[0][0] < at_ms - _REMEMBERED_MS:
            self._told.popleft()

    def network_ms(self, size_bytes: float) -> float:
        """What so many bytes are expected to take, the way back included."""
        rate = harmonic_mean([rate for _, rate in self._told]) if self._told else _FIRST_BYTES_A_MS
        return size_bytes / rate + 2 * self._wire_ms
