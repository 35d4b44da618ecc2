"""What a replica is told, in plain values."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from ondevice.cloud.endpoint import bundled
from ondevice.cloud.ray.settings import ReplicaSettings
from ondevice.errors import UsageError


def test_arguments_on_a_command_line_are_text() -> None:
    told = ReplicaSettings.read({"sla": "250", "open": "true", "models": "12, b", "memory_budget": "1000000"})
    assert told == ReplicaSettings(sla=250, open=True, models="12, b", memory_budget=1_000_000)
    setup = told.setup("0.0.0.0", 8000)
    assert (setup.rules.sla_ms, setup.sources, setup.memory_budget) == (250, ["12", "b"], 1_000_000)
    assert setup.workers.count == 1, "the next request's worker is the next replica's"
    assert ReplicaSettings(workers=2, threads=3).cpus == 6


def test_arguments_in_yaml_may_be_what_they_are() -> None:
    settings = ReplicaSettings(upstream="http://gpu:8000", anytime=1)
    assert ReplicaSettings.read(json.loads(json.dumps(asdict(settings)))) == settings
    assert settings.setup("127.0.0.1", 8000).sources == [], "an upstream alone needs no model here"
    assert ReplicaSettings().sources() == bundled()


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"slo": "1"}, "slo"),
        ({"sla": "soon"}, "sla must be a number, not 'soon'"),
        ({"open": "yes"}, "open must be true or false, not 'yes'"),
    ],
)
def test_what_is_no_argument_is_told(values: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=r"^ondevice\.cloud\.ray: ") as raised:
        ReplicaSettings.read(values)
    assert said in str(raised.value)


def test_nobody_is_let_in_who_was_not_let_in_expressly(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("a" * 16)
    with pytest.raises(
        UsageError, match=r"listens on 0\.0\.0\.0, which lets others in: give tokens=FILE, or open=true"
    ):
        ReplicaSettings().setup("0.0.0.0", 8000)
    assert ReplicaSettings(tokens=str(tokens)).setup("0.0.0.0", 8000).tokens
    assert ReplicaSettings().setup("127.0.0.1", 8000).tokens is None


def test_upstreams_have_their_hosts() -> None:
    two = "http://a:1, http://b:2"

    def upstreams(hosts: str) -> Any:
        return ReplicaSettings(upstream=two, upstream_host=hosts).setup("localhost", 1).upstreams

    assert upstreams("") == [("http://a:1", None), ("http://b:2", None)]
    assert upstreams("x") == [("http://a:1", "x"), ("http://b:2", "x")]
    assert upstreams("x,y") == [("http://a:1", "x"), ("http://b:2", "y")]
    with pytest.raises(UsageError, match="there are 3 upstream_host for 2 upstream"):
        upstreams("x,y,z")
