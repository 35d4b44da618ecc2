"""Programs that are not there for every run of the tests: what they sent is answered, and with what they read of it."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from other_clients import FOLDER, Reply, recorded, replayed
from serving import FAMILY, Endpoint

PROGRAMS = sorted(path.stem for path in FOLDER.glob("*.json"))
NAMED = FAMILY[0]


@pytest.mark.parametrize("program", PROGRAMS)
def test_all_that_it_sent_is_answered(endpoint: Endpoint, program: str) -> None:
    for line, reply in replayed(endpoint, recorded(program)):
        assert reply.status == (404 if "/nothing/" in line else 200), (line, reply.body)


@pytest.mark.parametrize("model", [NAMED, "cnnselect"])
def test_what_perf_analyzer_reads_is_there(endpoint: Endpoint, model: str) -> None:
    replies = dict(replayed(endpoint, recorded("perf_analyzer")))

    def said(path: str, method: str = "GET") -> Any:
        return replies[f"{method} {path} HTTP/1.1"].json

    assert "statistics" in said("/v2")["extensions"]
    metadata, config = said(f"/v2/models/{model}"), said(f"/v2/models/{model}/config")
    assert config["name"] == metadata["name"] == model
    assert (config["max_batch_size"], config["model_transaction_policy"]) == (0, {"decoupled": False})
    for configured, told in (("input", "inputs"), ("output", "outputs")):
        assert [tensor["name"] for tensor in config[configured]] == [tensor["name"] for tensor in metadata[told]]
    (row,) = said(f"/v2/models/{model}/stats")["model_stats"]
    assert (row["name"], type(row["inference_count"]), type(row["execution_count"])) == (model, int, int)
    for part in ("success", "queue", "compute_input", "compute_infer", "compute_output", "cache_hit", "cache_miss"):
        assert {key: type(value) for key, value in row["inference_stats"][part].items()} == {"count": int, "ns": int}
    outputs = said(f"/v2/models/{model}/infer", "POST")["outputs"]
    assert {output["name"] for output in outputs} == {tensor["name"] for tensor in metadata["outputs"]}


def test_perf_analyzers_requests_are_counted_between_two_looks(endpoint: Endpoint) -> None:
    looks = [request for request in recorded("perf_analyzer") if request.path.endswith(f"{NAMED}/stats")]
    asked = [request for request in recorded("perf_analyzer") if request.path.endswith(f"{NAMED}/infer")]

    def count() -> int:
        ((_, reply),) = replayed(endpoint, looks)
        found: int = reply.json["model_stats"][0]["inference_stats"]["success"]["count"]
        return found

    before = count()
    for _ in range(5):
        replayed(endpoint, asked)
    assert count() == before + 5


def test_kserves_sdk_is_told_live_and_ready(endpoint: Endpoint) -> None:
    replies = replayed(endpoint, recorded("kserve"))
    told = dict(replies)
    assert told["GET /v2/health/live HTTP/1.1"].json["live"] is True
    assert told["GET /v2/health/ready HTTP/1.1"].json["ready"] is True
    assert [best(reply) for line, reply in replies if "cnnselect/infer" in line] == [7, 7], "in binary, and in JSON"


def test_mlserver_is_told_what_its_types_have(endpoint: Endpoint) -> None:
    replies = replayed(endpoint, recorded("mlserver"))
    told = dict(replies)
    server = told["GET /v2 HTTP/1.1"].json
    assert [type(server[key]) for key in ("name", "version", "extensions")] == [str, str, list]
    index = told["POST /v2/repository/index HTTP/1.1"].json
    assert {tuple(row) for row in index} == {("name", "version", "state", "reason")}
    assert {row["state"] for row in index} == {"READY"}
    posted, batch = (reply for line, reply in replies if "cnnselect/infer" in line)
    assert best(posted) == 7
    assert [output["name"] for output in batch.json["outputs"]] == ["label", "score", "index"], "by `mlserver infer`"


def best(reply: Reply) -> int:
    """The index of the best class in a reply in JSON."""
    found: int = next(output["data"][0] for output in reply.json["outputs"] if output["name"] == "index")
    return found
