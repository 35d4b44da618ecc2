"""What many clients do to one server that goes away, and when they find it again: the state machines alone.

    python benchmarks/herd.py [--clients 10000] [--every 1] [--outage 60] [--seconds] [--seed 0]

Each client is a breaker, a retry budget and a pushback (`ondevice.resilience`) on a simulated clock; there are no
sockets, and a send takes no time. Each has a request of its own every so often (--every, s) and a connection that was
kept. At 0 s the server goes away: what is sent on a kept connection is cut off, and sent again on a new one where the
budget allows it; new ones are refused, which opens the breaker. From then on only probes are sent, and each that fails
takes from the budget too. At the end of the outage (--outage, s) the server is back, and for its first fifteen seconds
it tells whoever asks it for work to come back in five.

`at one moment`: all clients have a request under way as it goes away. `over a second`: their requests come one after
the other. `0.1.0` is its client: probes 0.5 s after the outage's begin, 1 s after that, 2, … 10; a lost connection is
tried again whatever failed before; nobody comes back later for being told to.

requests: the most that are sent in any second after the first of the outage, probes and all, of seconds that begin at
each 100 ms. ratio: the most probes in any 100 ms, as a multiple of the mean of its second. besides: what clients whose
budget was spent sent beside probes in the outage. found: how long after its return half of the clients, and all, know
that the server is back. in vain: requests that the server told to come back, of each client. --seconds prints each
second of the outage.

What is promised of clients now is checked: at most 0.2 requests a second and client, a ratio of 3 at most, and nothing
besides. It is meant for 10,000 clients, where chance is too small to break it.
"""

from __future__ import annotations

import argparse
import random
import sys
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from ondevice.resilience.breaker import Breaker, doubling, spread
from ondevice.resilience.pushback import Pushback
from ondevice.resilience.retry_budget import RetryBudget
from ondevice.timing.arrays import FloatArray

# The deadline of every request, ms.
SLA_MS = 200.0
# What clients may ask of a server that is away, each in a second; what 100 ms may have of the mean of their second.
MOST_A_SECOND, MOST_RATIO = 0.2, 3.0
# For how long a server that is back wants no work, and how long it tells everybody to stay away, s.
WARMING_S, AWAY_S = 15.0, 5.0
# How long after an outage is looked on, s: the longest pause, twice, and some.
AFTER_S = 30.0
TENTHS = 10


class Scenario(NamedTuple):
    """An outage from 0 to outage_s. every_s: between requests of one client; over_s: in which all clients have one."""

    clients: int
    over_s: float
    every_s: float = 1.0
    outage_s: int = 60
    seed: int = 0

    @property
    def end_s(self) -> float:
        """How long it is looked on."""
        return self.outage_s + AFTER_S


@dataclass
class Traffic:
    """When something was sent, s: requests, once or again, and probes; besides: requests by clients whose budget was
    spent; in_vain: those that were told to come back. found: when each client had the server again.
    """

    requests: list[float] = field(default_factory=list)
    probes: list[float] = field(default_factory=list)
    besides: list[float] = field(default_factory=list)
    in_vain: list[float] = field(default_factory=list)
    found: list[float] = field(default_factory=list)


class Client:
    """A client with a connection that was kept; what it sends is written down. now: False: that of 0.1.0."""

    def __init__(self, drawn: random.Random, outage_s: float, traffic: Traffic, now: bool) -> None:
        self.breaker = Breaker(spread(drawn) if now else doubling)
        self.budget, self.pushback = RetryBudget(), Pushback()
        self._outage_s, self._traffic, self._now, self._kept = outage_s, traffic, now, True

    def request(self, at: float) -> None:
        """A request of its own: sent, unless it is left to the device."""
        if not self.breaker.closed or self.pushback.held_ms(at, SLA_MS):
            return
        self._send(at)
        if at >= self._outage_s:
            self._heard(at)
            return
        cut, self._kept = self._kept, False
        self._failed(at, at_once=not cut)
        if cut and (self.budget.allows or not self._now):
            self._send(at)
            self._failed(at, at_once=True)

    def probe(self, at: float) -> None:
        """Probe, if it is time."""
        if not self.breaker.probe(at):
            return
        self._traffic.probes.append(at)
        if at < self._outage_s:
            self._failed(at, at_once=True)
        else:
            self._traffic.found.append(at)
            self._succeeded()

    def _send(self, at: float) -> None:
        self._traffic.requests.append(at)
        if not self.budget.allows:
            self._traffic.besides.append(at)

    def _heard(self, at: float) -> None:
        self._kept = True
        if at >= self._outage_s + WARMING_S:
            self._succeeded()
            return
        self._traffic.in_vain.append(at)
        if self._now:
            self.pushback.said(at, AWAY_S * 1e3, None)

    def _succeeded(self) -> None:
        self.breaker.succeeded()
        self.budget.succeeded()

    def _failed(self, at: float, at_once: bool) -> None:
        self.breaker.failed(at, at_once)
        self.budget.failed()


def herd(scenario: Scenario, now: bool = True) -> Traffic:
    """What all clients send from the beginning of an outage to half a minute after it."""
    traffic = Traffic()
    for number in range(scenario.clients):
        drawn = random.Random(f"{scenario.seed} {number}")
        client = Client(drawn, scenario.outage_s, traffic, now)
        begin = scenario.over_s * number / scenario.clients
        for turn in range(int((scenario.end_s - begin) / scenario.every_s) + 1):
            at = begin + turn * scenario.every_s
            while client.breaker.probe_at is not None and client.breaker.probe_at <= at:
                client.probe(client.breaker.probe_at)
            client.request(at)
    return traffic


class Figures(NamedTuple):
    """What a herd came to; as the module has them. found_s: half of the clients, and all."""

    requests: int
    ratio: float
    besides: int
    found_s: tuple[float, float]
    in_vain: float

    def keeps(self, clients: int) -> bool:
        """Whether it is as promised."""
        return self.requests <= MOST_A_SECOND * clients and self.ratio <= MOST_RATIO and not self.besides


def figures(traffic: Traffic, scenario: Scenario) -> Figures:
    """Of the outage, and of what came after."""
    probes = tenths(traffic.probes, scenario)
    every = tenths(traffic.requests, scenario) + probes
    by_second = np.convolve(every[TENTHS:], np.ones(TENTHS), "valid")
    found_s = np.array(traffic.found) - scenario.outage_s
    besides = sum(at < scenario.outage_s for at in traffic.besides)
    in_vain = len(traffic.in_vain) / scenario.clients
    found = float(np.median(found_s)), float(found_s.max())
    return Figures(int(by_second.max()), float(ratios(probes).max()), besides, found, in_vain)


def tenths(times: list[float], scenario: Scenario) -> FloatArray:
    """How many of these times lie in each 100 ms of the outage."""
    edges = np.arange(scenario.outage_s * TENTHS + 1) / TENTHS
    return np.histogram(times, edges)[0].astype(float)


def ratios(probes: FloatArray) -> FloatArray:
    """For each second the most in any of its 100 ms, as a multiple of their mean; 0 where there is nothing."""
    by_second = probes.reshape(-1, TENTHS)
    mean = by_second.mean(axis=1)
    return np.divide(by_second.max(axis=1), mean, out=np.zeros_like(mean), where=mean > 0)


def seconds(traffic: Traffic, scenario: Scenario) -> str:
    """Each second of the outage: requests, probes, the most probes in 100 ms, and its ratio."""
    requests, probes = (tenths(times, scenario).reshape(-1, TENTHS) for times in (traffic.requests, traffic.probes))
    rows = ["| second | requests | probes | most in 100 ms | ratio |", "| ---: | ---: | ---: | ---: | ---: |"]
    for second, ratio in enumerate(ratios(probes)):
        of_it = probes[second]
        rows.append(
            f"| {second} | {requests[second].sum():.0f} | {of_it.sum():.0f} | {of_it.max():.0f} | {ratio:.2f} |"
        )
    return "\n".join(rows)


def main() -> None:
    """Print the table; exit with 1 where a promise is broken."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--clients", type=int, default=10_000)
    parser.add_argument("--every", type=float, default=1.0)
    parser.add_argument("--outage", type=int, default=60)
    parser.add_argument("--seconds", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    print("| client | opened | requests | ratio | besides | found, half | all | in vain |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    broken = False
    for now in (False, True):
        for when, over_s in (("at one moment", 0.0), ("over a second", 1.0)):
            scenario = Scenario(given.clients, over_s, given.every, given.outage, given.seed)
            traffic = herd(scenario, now)
            of_it = figures(traffic, scenario)
            half_s, all_s = of_it.found_s
            print(
                f"| {'now' if now else '0.1.0'} | {when} | {of_it.requests} | {of_it.ratio:.2f} | {of_it.besides} ",
                end="",
            )
            print(f"| {half_s:.1f} s | {all_s:.1f} s | {of_it.in_vain:.1f} |", flush=True)
            broken |= now and not of_it.keeps(given.clients)
            if given.seconds:
                print(seconds(traffic, scenario))
    if broken:
        sys.exit("a promise is broken")


if __name__ == "__main__":
    main()
