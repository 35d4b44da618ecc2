"""Several answers of a running endpoint to one request."""

from __future__ import annotations

import json
import subprocess
from typing import Any

import numpy as np
import pytest
import requests

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, PICTURE, Endpoint, image_input, post, until

from ondevice.selection.replies import ReplyDistribution

INFER = "/v2/models/cnnselect/infer"
# A reply that takes almost all of the time there is, so that a fast model may be in time where the best is not. Neither
# takes as long as this on any machine.
UNSURE = ReplyDistribution(np.linspace(850, 900, 21), 0.0, 1.0).text
ASKED = {"sla_ms": 900, "upload_ms": 0, "device_top1": 0.1, "reply": UNSURE, "anytime": 2}


def lines(reply: requests.Response) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in reply.text.splitlines()]


def several(endpoint: Endpoint) -> requests.Response:
    """A reply of two answers; while the workers are measured, or both take too long, there is but one."""
    return until(lambda: (reply := endpoint.classify(**ASKED)).text.count("\n") == 2 and reply)


def test_two_answers_each_a_whole_response(endpoint: Endpoint) -> None:
    reply = several(endpoint)
    first, last = lines(reply)
    assert first["parameters"]["expected_top1"] < last["parameters"]["expected_top1"]
    assert {line["parameters"]["selected_model"] for line in (first, last)} < set(FAMILY)
    assert 0 < first["parameters"]["server_ms"] < last["parameters"]["server_ms"]
    assert (first["parameters"]["final"], last["parameters"]["final"]) == (False, True)
    for line in (first, last):
        label, score, index = line["outputs"]
        assert (line["model_name"], label["data"][0], index["data"][0]) == ("cnnselect", "7", 7)
        assert 0 < score["data"][0] <= 1
    assert "upload" in reply.headers["server-timing"]


def counted(endpoint: Endpoint) -> tuple[float, float]:
    """Inferences, and requests that were answered."""
    lines = endpoint.ask("GET", "/metrics").text.splitlines()
    return (
        sum(float(line.split()[-1]) for line in lines if line.startswith("ondevice_infer_seconds_count")),
        sum(float(line.split()[-1]) for line in lines if 'requests_total{operation="infer",status="200"}' in line),
    )


def test_they_are_one_request_in_the_log_and_each_a_measurement(endpoint: Endpoint) -> None:
    inferences, requested = counted(endpoint)
    last = lines(several(endpoint))[-1]["parameters"]
    (logged,) = until(lambda: [line for line in endpoint.log("request") if line.get("server_ms") == last["server_ms"]])
    assert (logged["answers"], logged["selected_model"]) == (2, last["selected_model"])
    assert logged["total_ms"] >= last["server_ms"]
    assert isinstance(logged["on_time"], bool)
    inferences_after, requested_after = counted(endpoint)
    # The last of these requests had two answers; the first look at the figures is one itself.
    assert inferences_after - inferences >= requested_after - requested


def test_a_client_that_asks_for_no_more_gets_one(endpoint: Endpoint) -> None:
    several(endpoint)
    for asked in (ASKED | {"anytime": 1}, {key: ASKED[key] for key in ASKED if key != "anytime"}):
        reply = endpoint.classify(**asked)
        assert reply.headers["content-type"] == "application/json"
        assert reply.json()["outputs"][0]["data"][0] == "7"


def test_it_may_stand_in_the_parameters_of_a_json_request(endpoint: Endpoint) -> None:
    body = {"parameters": ASKED, "inputs": [image_input()]}
    replies = until(lambda: (reply := endpoint.ask("POST", INFER, json=body)).text.count("\n") == 2 and reply)
    assert len(lines(replies)) == 2


@pytest.mark.parametrize(
    "more",
    [{"id": "7"}, {"outputs": [{"name": "label"}]}, {"parameters": {**ASKED, "binary_data_output": True}}],
    ids=["id", "outputs", "binary"],
)
def test_whoever_wants_more_than_classes_gets_one(endpoint: Endpoint, more: dict[str, Any]) -> None:
    reply = endpoint.ask("POST", INFER, json={"parameters": ASKED, "inputs": [image_input()]} | more)
    assert reply.status_code == 200
    assert reply.headers["content-type"] != "application/x-ndjson"


def test_a_named_model_and_another_rule_give_one(endpoint: Endpoint) -> None:
    assert endpoint.classify("digits_m_int8", **ASKED).headers["content-type"] == "application/json"
    assert endpoint.classify(**ASKED, policy="mdinference").headers["content-type"] == "application/json"


def test_a_client_that_leaves_after_the_first_answer_harms_nobody(endpoint: Endpoint) -> None:
    query = "&".join(f"{name}={value}" for name, value in ASKED.items())
    for _ in range(20):
        with endpoint.connect() as client:
            client.sendall(post(f"{INFER}?{query}", PICTURE))
            assert client.recv(10).startswith(b"HTTP/1.1 2")
    assert len(lines(several(endpoint))) == 2


def test_a_picture_that_is_none_is_an_error_as_ever(endpoint: Endpoint) -> None:
    for _ in range(10):
        reply = endpoint.classify(picture=PICTURE[:100], **ASKED)
        assert reply.status_code == 400
        assert set(reply.json()) == {"error"}


def test_curl_prints_them_as_they_come(endpoint: Endpoint) -> None:
    query = "&".join(f"{name}={value}" for name, value in ASKED.items())

    def asked() -> list[str]:
        command = [
            "curl",
            "-sN",
            "--data-binary",
            "@-",
            "-H",
            "Content-Type: image/png",
            f"{endpoint.url}{INFER}?{query}",
        ]
        return subprocess.run(command, input=PICTURE, capture_output=True, check=True).stdout.decode().splitlines()

    found = until(lambda: (answers := asked()) and len(answers) == 2 and answers)
    assert [json.loads(line)["outputs"][0]["data"][0] for line in found] == ["7", "7"]


def test_how_many_is_published_and_the_operator_s_to_set(endpoint: Endpoint, tmp_path: Any) -> None:
    assert endpoint.get("/v2/models/cnnselect")["parameters"]["anytime"] == 2
    with Endpoint(tmp_path, "--workers", 1, "--anytime", 1) as one:
        assert one.get("/v2/models/cnnselect")["parameters"]["anytime"] == 1
        for _ in range(5):
            assert one.classify(**ASKED).headers["content-type"] == "application/json"


@pytest.mark.parametrize("count", ["0", "9", "x", "1.5", "nan", ""])
def test_a_count_that_is_none(endpoint: Endpoint, count: str) -> None:
    reply = endpoint.classify(anytime=count)
    assert reply.status_code == 400
    assert "anytime must be a" in reply.json()["error"]
