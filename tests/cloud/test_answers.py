"""Several answers to one request: in the order in which they come, from models given here, and from an endpoint."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import requests

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, PICTURE, Endpoint, image_input, post, until

from ondevice.cloud.answers import answers
from ondevice.cloud.backend import InferenceResult
from ondevice.cloud.choice import Choice
from ondevice.errors import OnDeviceError, ServeError
from ondevice.protocol.served import Work
from ondevice.selection.replies import ReplyDistribution

TOP1 = {"small": 0.5, "middle": 0.7, "large": 0.9}
WORK = Work(b"", True, 5, False, 0.0)
Lost = list[tuple[str, str]]


class Runs:
    """Models that end when they are told to, with what they are told."""

    def __init__(self) -> None:
        self.ends: dict[str, asyncio.Future[None]] = {}
        self.cancelled: list[str] = []

    async def run(self, model: str, work: Work, rechoose: None) -> InferenceResult:
        self.ends[model] = asyncio.get_running_loop().create_future()
        try:
            await self.ends[model]
        except asyncio.CancelledError:
            self.cancelled.append(model)
            raise
        return InferenceResult(model, [(1, 0.5)])

    def choices(self) -> list[Choice]:
        """One of each model."""
        return [
            cast(Choice, SimpleNamespace(backend=self, served=SimpleNamespace(name=name, top1=top1)))
            for name, top1 in TOP1.items()
        ]


def played(*course: Callable[[Runs], Any], wanted: int = 9) -> tuple[list[str], Runs, Lost]:
    """The models that answer while these things happen one after the other, as far as so many are wanted."""

    async def play() -> tuple[list[str], Runs, Lost]:
        runs, lost, found = Runs(), Lost(), []

        async def drive() -> None:
            for step in course:
                await asyncio.sleep(0.005)
                step(runs)

        def failed(choice: Choice, error: OnDeviceError) -> None:
            lost.append((choice.served.name, str(error)))

        several, driving = answers(runs.choices(), WORK, failed), asyncio.ensure_future(drive())
        async for answer in several:
            found.append(answer.result.model)
            if len(found) == wanted:
                break
        await several.aclose()
        await asyncio.sleep(0)
        driving.cancel()
        return found, runs, lost

    return asyncio.run(play())


def ends(*models: str) -> Callable[[Runs], None]:
    return lambda runs: [runs.ends[model].set_result(None) for model in models] and None


def fails(model: str, error: OnDeviceError) -> Callable[[Runs], None]:
    return lambda runs: runs.ends[model].set_exception(error)


def test_each_answer_is_better_than_the_one_before() -> None:
    assert played(ends("small"), ends("middle"), ends("large"))[0] == ["small", "middle", "large"]


def test_what_is_no_better_is_not_waited_for() -> None:
    found, runs, _ = played(ends("middle"), ends("large"))
    assert found == ["middle", "large"]
    assert runs.cancelled == ["small"]
    found, runs, _ = played(ends("large"))
    assert found == ["large"]
    assert sorted(runs.cancelled) == ["middle", "small"]


def test_of_those_that_are_there_at_once_only_the_best() -> None:
    assert played(ends("small", "large", "middle"))[0] == ["large"]


def test_whoever_has_enough_lets_the_others_go() -> None:
    found, runs, _ = played(ends("small"), wanted=1)
    assert found == ["small"]
    assert sorted(runs.cancelled) == ["large", "middle"]


def test_one_that_fails_is_told_and_the_others_go_on() -> None:
    found, _, lost = played(fails("small", ServeError("it died")), ends("middle"), fails("large", ServeError("too")))
    assert found == ["middle"]
    assert lost == [("small", "it died"), ("large", "too")]


def test_where_all_fail_the_last_error_is_raised() -> None:
    course = [fails(model, ServeError("no answer")) for model in TOP1]
    with pytest.raises(ServeError, match="no answer"):
        played(*course)


# From an endpoint

INFER = "/v2/models/cnnselect/infer"
# A reply of which so little is known that a fast model is to stand in for the best.
UNSURE = ReplyDistribution(np.linspace(0, 40, 21), 0.0, 1.0).text
ASKED = {"sla_ms": 20, "upload_ms": 0, "device_top1": 0.1, "reply": UNSURE, "anytime": 2}


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with Endpoint(tmp_path_factory.mktemp("home")) as running:
        yield running
        assert running.log("internal error") == []
        assert running.log("worker died") == []


def lines(reply: requests.Response) -> list[dict[str, Any]]:
    assert reply.status_code == 200, reply.text
    assert reply.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in reply.text.splitlines()]


def several(endpoint: Endpoint) -> requests.Response:
    """A reply of two answers; while the workers are measured, there is but one."""
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


def test_they_are_one_request_in_the_log_and_each_a_measurement(endpoint: Endpoint) -> None:
    last = lines(several(endpoint))[-1]["parameters"]
    (logged,) = until(lambda: [line for line in endpoint.log("request") if line.get("server_ms") == last["server_ms"]])
    assert (logged["answers"], logged["selected_model"]) == (2, last["selected_model"])
    assert logged["total_ms"] >= last["server_ms"]
    assert isinstance(logged["on_time"], bool)
    text = endpoint.ask("GET", "/metrics").text
    counts = [float(line.split()[-1]) for line in text.splitlines() if line.startswith("ondevice_infer_seconds_count")]
    requested = [float(line.split()[-1]) for line in text.splitlines() if 'requests_total{status="200"}' in line]
    assert sum(counts) > sum(requested) - 5


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
    with Endpoint(tmp_path, "--anytime", 1) as one:
        assert one.get("/v2/models/cnnselect")["parameters"]["anytime"] == 1
        for _ in range(5):
            assert one.classify(**ASKED).headers["content-type"] == "application/json"


@pytest.mark.parametrize("count", ["0", "9", "x", "1.5", "nan", ""])
def test_a_count_that_is_none(endpoint: Endpoint, count: str) -> None:
    reply = endpoint.classify(anytime=count)
    assert reply.status_code == 400
    assert "anytime must be a" in reply.json()["error"]
