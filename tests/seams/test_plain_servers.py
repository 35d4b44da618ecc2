"""Servers of the protocol as there are many, without what ours has beside it, behind the client as users call it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("aiohttp", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from oip_server import Server, running
from serving import PICTURE

from ondevice import Answer, OffloadClient, Runner

Cli = Callable[..., "subprocess.CompletedProcess[str]"]
GOOD, SMALL = "digits_m_fp32", "digits_xs_fp32"
# A deadline that a busy machine meets too.
LONG_MS = 20_000.0


def asked(url: str, count: int = 2) -> list[Answer]:
    with OffloadClient(url, sla_ms=LONG_MS, mode="cloud") as client:
        assert client.ready(60)
        return [client.classify(PICTURE) for _ in range(count)]


def expected(model: str) -> tuple[str, str, str]:
    return "cloud", model, Runner(model).classify(PICTURE).label


def found(answers: list[Answer]) -> set[tuple[str, str, str]]:
    return {(answer.where, answer.model, answer.label) for answer in answers}


@pytest.mark.parametrize("listed", [[], ["classification"]], ids=["none", "another"])
@pytest.mark.parametrize("status", [400, 500])
@pytest.mark.parametrize("pictures", [True, False])
def test_a_server_without_the_binary_extension(pictures: bool, status: int, listed: list[str]) -> None:
    server = Server(GOOD, pictures=pictures)
    server.extensions, server.unframed = listed, status
    with running(server) as url:
        assert found(asked(url)) == {expected(GOOD)}


@pytest.mark.parametrize("state", ["", None, "READY"])
def test_a_model_whose_state_is_left_open_is_ready(state: str | None) -> None:
    server = Server(GOOD, SMALL)
    server.rows = [{"name": GOOD, "state": state}, {"name": SMALL, "state": "UNAVAILABLE", "reason": "unloaded"}]
    with running(server) as url:
        assert found(asked(url)) == {expected(GOOD)}
    server.rows = [{"name": GOOD}]
    with running(server) as url:
        assert found(asked(url)) == {expected(GOOD)}


def test_two_versions_in_the_index_are_one_model_that_is_ready_if_one_of_them_is() -> None:
    server = Server(GOOD, SMALL)
    server.rows = [
        {"name": SMALL, "version": "1", "state": "READY"},
        {"name": SMALL, "version": "2", "state": "READY"},
        {"name": GOOD, "version": "1", "state": "READY"},
        {"name": GOOD, "version": "2", "state": "UNAVAILABLE", "reason": "failed to load"},
    ]
    with running(server) as url:
        assert found(asked(url)) == {expected(GOOD)}
    del server.rows[2]
    with running(server) as url:
        assert found(asked(url)) == {expected(SMALL)}


@pytest.mark.parametrize("prefix", ["", "/serving/digits"])
@pytest.mark.parametrize("end", ["", "/", "/v2", "/v2/"])
def test_the_protocols_own_first_part_may_stand_in_the_url(prefix: str, end: str, cli: Cli, tmp_path: Path) -> None:
    server, picture = Server(GOOD), tmp_path / "seven.png"
    server.prefix = prefix
    picture.write_bytes(PICTURE)
    with running(server) as url:
        assert found(asked(url + end)) == {expected(GOOD)}
        done = cli("offload", picture, "--endpoint", url + end, "--mode", "cloud", "--sla", LONG_MS, "-f", "jsonl")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["where"], row["model"], row["label"]) == expected(GOOD)
