"""The service over HTTP as its clients meet it: what each path answers, and what it refuses."""

from __future__ import annotations

import contextlib
import io
import json
import time
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from serving import FAMILY, PICTURE, Endpoint, image_input, known_to_take, post, read_all, sentence, until

INFER, SELECT = "/v2/models/cnnselect/infer", "/v2/models/cnnselect/select"
MODEL = FAMILY[2]
JSON = {"Content-Type": "application/json"}
# More than all the buffers on the way hold.
MOST_UNREAD = 100 << 20


# What it says of itself


def test_health_and_metadata(endpoint: Endpoint) -> None:
    for path in ("/v2/health/live", "/v2/health/ready", f"/v2/models/{MODEL}/ready", "/v2/models/cnnselect/ready"):
        assert endpoint.ask("GET", path).status_code == 200
        assert endpoint.ask("HEAD", path).status_code == 200
    assert endpoint.get("/v2")["name"] == "ondevice"
    assert endpoint.get("/v2/health/live") == {"live": True}
    for path in ("/v2/health/ready", f"/v2/models/{MODEL}/ready", "/v2/models/cnnselect/versions/1/ready"):
        assert endpoint.get(path) == {"ready": True}
    assert "binary_tensor_data" in endpoint.get("/v2")["extensions"]


def test_a_models_metadata_have_its_own_tensors_and_apart_those_of_pictures(endpoint: Endpoint) -> None:
    for path in (f"/v2/models/{MODEL}", f"/v2/models/{MODEL}/versions/1"):
        found = endpoint.get(path)
        (own,), (output,), pictures = found["inputs"], found["outputs"], found["parameters"]["image"]
        assert (own["datatype"], own["shape"], output["datatype"], output["shape"]) == (
            "INT8", [1, 48, 48, 1], "INT8", [1, 10],
        )  # fmt: skip
        assert pictures["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [1]}]
        assert [tensor["name"] for tensor in pictures["outputs"]] == ["label", "score", "index"]
        assert found["parameters"]["labels"] == [str(digit) for digit in range(10)]
        assert len(found["parameters"]["profile"]["quantiles_ms"]) == 21


def test_the_virtual_models_metadata_have_every_profile_and_accuracy(endpoint: Endpoint) -> None:
    parameters = endpoint.get("/v2/models/cnnselect")["parameters"]
    assert [profile["model"] for profile in parameters["profiles"]] == list(FAMILY)
    assert list(parameters["top1"]) == list(FAMILY)
    assert all(0.5 < top1 < 1 for top1 in parameters["top1"].values())


# Choosing


def test_a_plain_picture_is_classified_by_the_model_that_is_chosen(endpoint: Endpoint) -> None:
    reply = endpoint.classify(top=2)
    assert reply.status_code == 200
    body = reply.json()
    assert (body["model_name"], body["model_version"]) == ("cnnselect", "1")
    label, score, index = body["outputs"]
    assert (label["data"][0], index["data"][0], label["shape"]) == ("7", 7, [2])
    assert 0.5 < score["data"][0] <= 1
    parameters = body["parameters"]
    assert parameters["selected_model"] in FAMILY
    assert parameters["policy"] == "effective"
    for part in ("queue_ms", "decode_ms", "infer_ms"):
        assert parameters[part] >= 0
    assert reply.headers["server-timing"].startswith("upload;dur=")


def test_the_deadline_and_the_policy_decide(endpoint: Endpoint, tmp_path: Path) -> None:
    # As measured, the small ones differ by microseconds; as told, by what no machine takes for one of them.
    told = known_to_take(endpoint, tmp_path, 1, 200, 400, 800)
    with Endpoint(tmp_path, "--profiles", told, believing=True) as running:

        def chosen(**query: Any) -> Any:
            return running.classify(**query).json()["parameters"]

        hurried = chosen(sla_ms=0.001)
        assert hurried["selected_model"] == FAMILY[0]
        assert hurried["budget_ms"] <= 0.001
        eager = chosen(sla_ms=5000, policy="mdinference:gamma=0")
        assert (eager["selected_model"], eager["policy"]) == (FAMILY[3], "mdinference:gamma=0")
        assert chosen(sla_ms=5000, policy="static-latency")["selected_model"] == FAMILY[0]


@pytest.mark.parametrize("suffix", ["", "/versions/1"])
def test_a_model_by_its_own_name(endpoint: Endpoint, suffix: str) -> None:
    reply = endpoint.classify(MODEL + suffix)
    assert reply.json()["model_name"] == MODEL
    assert reply.json()["parameters"]["selected_model"] == MODEL
    assert reply.json()["parameters"]["policy"] == "named"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF"])
def test_pictures_of_every_kind(endpoint: Endpoint, kind: str) -> None:
    file = io.BytesIO()
    Image.open(io.BytesIO(PICTURE)).convert("RGB").save(file, kind)
    headers = {"Content-Type": f"image/{kind.lower()}"}
    reply = endpoint.ask("POST", INFER, data=file.getvalue(), headers=headers)
    assert reply.json()["outputs"][2]["data"][0] == 7


def test_the_decision_alone(endpoint: Endpoint) -> None:
    choice = endpoint.ask(
        "POST", SELECT, json={"sla_ms": 2000, "upload_ms": 100, "return_ms": 50, "bytes": 3000}
    ).json()
    assert choice["selected_model"] == FAMILY[3]
    assert choice["budget_ms"] == 1850
    assert 150 < choice["expected_ms"]["mean"] < 2000
    assert choice["probability_on_time"] == 1
    assert choice["expected_top1"] == endpoint.get("/v2/models/cnnselect")["parameters"]["top1"][FAMILY[3]]
    assert endpoint.ask("POST", SELECT).status_code == 200  # nothing need be said
    hopeless = endpoint.ask("POST", SELECT, json={"sla_ms": 10, "upload_ms": 100, "device_top1": 0.5}).json()
    assert hopeless["probability_on_time"] == 0
    assert hopeless["selected_model"] in FAMILY[:2]


def test_the_upload_counts(endpoint: Endpoint) -> None:
    with endpoint.connect() as client:
        request = post(f"{INFER}?sla_ms=5000", PICTURE, extra="Connection: close\r\n")
        client.sendall(request[:-100])
        time.sleep(0.3)
        client.sendall(request[-100:])
        reply = read_all(client)
    budget_ms = json.loads(reply.partition(b"\r\n\r\n")[2])["parameters"]["budget_ms"]
    assert budget_ms < 5000 - 2 * 290


# What is wrong with a request

BAD_ASKS = [
    ({"sla_ms": 0}, "sla_ms must be a number from 0.001"),
    ({"sla_ms": -1}, "sla_ms must be a number from 0.001"),
    ({"sla_ms": float("nan")}, ""),
    ({"sla_ms": 1e300}, "sla_ms must be a number from 0.001"),
    ({"sla_ms": "fast"}, "sla_ms must be a number"),
    ({"sla_ms": None}, ""),
    ({"timeout": -1}, "timeout must be a number from 1"),
    ({"upload_ms": -1}, "upload_ms must be a number from 0"),
    ({"device_top1": 2}, "device_top1 must be a number from 0 to 1"),
    ({"top": 0}, "top must be a whole number from 1 to 1000"),
    ({"policy": "mdinferense"}, "no policy 'mdinferense'; did you mean mdinference"),
    ({"policy": "cnnselect:reading=x"}, "distance"),
    ({"policy": "x" * 10_000}, "there are static-latency"),
    ({"policy": 5}, "policy"),
]


@pytest.mark.parametrize(("parameters", "said"), BAD_ASKS)
def test_absurd_parameters_are_refused_in_all_three_places(
    endpoint: Endpoint, parameters: dict[str, Any], said: str
) -> None:
    body = json.dumps({"inputs": [image_input()], "parameters": parameters})  # NaN as a bare word too
    replies = [
        endpoint.ask("POST", SELECT, data=json.dumps(parameters), headers=JSON),
        endpoint.ask("POST", INFER, data=body, headers=JSON),
    ]
    if isinstance(next(iter(parameters.values())), str | int | float) and parameters != {"policy": 5}:
        replies.append(endpoint.classify(**parameters))
    for reply in replies:
        assert reply.status_code == 400
        assert said in sentence(reply)


@pytest.mark.parametrize("body", [b"[]", b"{", b'{"policy": "\\ud800"}', b"[" * 5000, b'{"sla_ms": ' + b"1" * 5000])
def test_what_is_no_object_of_parameters_is_refused(endpoint: Endpoint, body: bytes) -> None:
    reply = endpoint.ask("POST", SELECT, data=body, headers=JSON)
    assert reply.status_code == 400
    assert sentence(reply) == "the body must be a JSON object of parameters"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("sla=5", "no parameter 'sla': there are sla_ms"),
        ("sla_ms", "sla_ms must be a number, not ''"),
        ("sla_ms=5&%FF=1", "no parameter"),
        ("&".join(f"top={n}" for n in range(1, 40)), "over 20 parameters"),
    ],
)
def test_a_query_with_mistakes_is_refused(endpoint: Endpoint, query: str, said: str) -> None:
    reply = endpoint.ask("POST", f"{INFER}?{query}", data=PICTURE, headers={"Content-Type": "image/png"})
    assert reply.status_code == 400
    assert said in sentence(reply)


@pytest.mark.parametrize(
    ("method", "path", "wanted", "said"),
    [
        ("GET", "/", 404, "no such path: /"),
        ("GET", "/v2/models/nothing", 404, "no model 'nothing': there are cnnselect, digits_xs_int8"),
        ("POST", "/v2/models/nothing/infer", 404, "no model 'nothing'"),
        ("GET", "/v2/models/%2e%2e%2f%2e%2e%2fetc", 404, "no such path"),
        ("GET", "/v2/models/cnnselect/versions/2", 404, "no version '2' of cnnselect: there is 1"),
        ("POST", f"/v2/models/{MODEL}/select", 404, "selects nothing: ask cnnselect"),
        ("POST", "/v2/repository/models/nothing/load", 404, "no model 'nothing'"),
        ("POST", "/v2/repository/models/cnnselect/unload", 404, "name one of digits_xs_int8"),
        ("GET", INFER, 405, "takes POST, not GET"),
        ("DELETE", "/v2", 405, "takes GET, not DELETE"),
        ("GET", "/" + "a" * 9000, 404, "no such path"),
        ("GET", "/" + "a" * 20_000, 431, "are over 16384 bytes"),
    ],
)
def test_other_paths_and_methods(endpoint: Endpoint, method: str, path: str, wanted: int, said: str) -> None:
    reply = endpoint.ask(method, path)
    assert reply.status_code == wanted
    assert said in sentence(reply)
    assert ("allow" in reply.headers) == (wanted == 405)


def test_a_405_says_what_is_allowed(endpoint: Endpoint) -> None:
    assert endpoint.ask("PUT", INFER).headers["allow"] == "POST"
    assert endpoint.ask("PUT", "/v2").headers["allow"] == "GET, HEAD"


def test_content_types_that_are_not_read(endpoint: Endpoint) -> None:
    svg = endpoint.ask("POST", INFER, data=b"<svg/>", headers={"Content-Type": "image/svg+xml"})
    assert svg.status_code == 400
    assert "is not a picture (JPEG, PNG, " in sentence(svg)
    packed = endpoint.ask("POST", INFER, data=b"{}", headers={"Content-Encoding": "br"})
    assert (packed.status_code, packed.headers["accept-encoding"]) == (415, "gzip, deflate")
    assert "send it as it is" in sentence(packed)


# Loading and unloading


def test_an_unloaded_model_is_not_chosen_until_it_is_loaded_again(endpoint: Endpoint) -> None:
    best, before = FAMILY[3], {event: len(endpoint.log(event)) for event in ("unloaded", "loaded")}
    assert endpoint.ask("POST", f"/v2/repository/models/{best}/unload").status_code == 200
    try:
        assert endpoint.classify(sla_ms=5000).json()["parameters"]["selected_model"] == FAMILY[2]
        assert endpoint.ask("GET", f"/v2/models/{best}/ready").status_code == 503
        states = {row["name"]: row["state"] for row in endpoint.ask("POST", "/v2/repository/index").json()}
        assert states == dict.fromkeys(("cnnselect", *FAMILY), "READY") | {best: "UNAVAILABLE"}
        ready = endpoint.ask("POST", "/v2/repository/index", json={"ready": True}).json()
        assert [row["name"] for row in ready] == ["cnnselect", *FAMILY[:3]]
        reply = endpoint.classify(best)
        assert reply.status_code == 400
        assert f"POST /v2/repository/models/{best}/load first" in sentence(reply)
    finally:
        assert endpoint.ask("POST", f"/v2/repository/models/{best}/load").status_code == 200
    assert endpoint.ask("GET", f"/v2/models/{best}/ready").status_code == 200
    assert endpoint.classify(sla_ms=5000).json()["parameters"]["selected_model"] == best
    for event, lines in before.items():
        assert [line["model"] for line in until(lambda e=event, n=lines: endpoint.log(e)[n:])] == [best]


@pytest.mark.parametrize(
    ("path", "asked", "said"),
    [
        ("/v2/repository/index", {"ready": 1}, "ready is 1, not true or false"),
        ("/v2/repository/index", {"state": "READY"}, "no parameter 'state': there is ready"),
        ("/v2/repository/index", [], "the body must be a JSON object"),
        (f"/v2/repository/models/{MODEL}/load", {"config": "{}"}, "no parameter 'config': there is parameters"),
        (f"/v2/repository/models/{MODEL}/load", {"parameters": {"config": "{}"}}, "config cannot be given: a model"),
        (f"/v2/repository/models/{MODEL}/load", {"parameters": {"": None}}, "'' cannot be given: a model"),
        (f"/v2/repository/models/{MODEL}/load", {"parameters": []}, "'parameters' is not an object"),
        (f"/v2/repository/models/{MODEL}/unload", {"parameters": {"force": True}}, "no parameter 'force'"),
        (f"/v2/repository/models/{MODEL}/unload", {"parameters": {"unload_dependents": 2}}, "not true or false"),
        (SELECT, {"sla": 50}, "no parameter 'sla': there are sla_ms"),
        (f"{SELECT}?sla_ms=50", {"sla_ms": 50}, "sla_ms: give it in the query or in the body"),
        (f"{INFER}?sla_ms=50", {"inputs": [image_input()], "parameters": {"sla_ms": 50}}, "sla_ms: give it in"),
        (f"{INFER}?deadline=50", {"inputs": [image_input()]}, "no parameter 'deadline'"),
    ],
)
def test_what_is_not_honoured_is_refused(endpoint: Endpoint, path: str, asked: Any, said: str) -> None:
    reply = endpoint.ask("POST", path, json=asked)
    assert reply.status_code == 400
    assert said in sentence(reply)


def test_the_query_counts_beside_a_message(endpoint: Endpoint) -> None:
    reply = endpoint.ask("POST", f"{INFER}?top=2&policy=static-latency", json={"inputs": [image_input()]}).json()
    assert (reply["outputs"][0]["shape"], reply["parameters"]["policy"]) == ([2], "static-latency")
    assert endpoint.ask("POST", f"{SELECT}?sla_ms=4000", json={"upload_ms": 100}).json()["budget_ms"] == 3800


def test_when_all_are_unloaded_there_is_nothing_to_choose(endpoint: Endpoint) -> None:
    for model in FAMILY:
        endpoint.ask("POST", f"/v2/repository/models/{model}/unload")
    try:
        reply = endpoint.classify()
        assert (reply.status_code, reply.headers["retry-after"]) == (503, "1")
        assert "no model" in sentence(reply)
    finally:
        for model in FAMILY:
            endpoint.ask("POST", f"/v2/repository/models/{model}/load")
    assert endpoint.classify().status_code == 200


# Rude clients


def test_a_connection_cut_in_mid_body_harms_nobody(endpoint: Endpoint) -> None:
    for _ in range(20):
        with endpoint.connect() as client:
            client.sendall(post(INFER, PICTURE)[:-100])
    for _ in range(20):
        with endpoint.connect() as client:
            client.sendall(post(INFER, PICTURE))  # and does not wait for the reply
    assert endpoint.classify().status_code == 200


def test_pipelined_pictures_are_answered_in_order(endpoint: Endpoint) -> None:
    paths = [f"/v2/models/{FAMILY[n % 3]}/infer" for n in range(12)]
    requests_ = [post(path, PICTURE, extra="Connection: close\r\n" * (n == 11)) for n, path in enumerate(paths)]
    reply = endpoint.say(b"".join(requests_))
    assert reply.count(b"HTTP/1.1 200 OK") == 12
    names = [part.split(b'"')[0].decode() for part in reply.split(b'"model_name":"')[1:]]
    assert names == [FAMILY[n % 3] for n in range(12)]


def test_a_client_that_does_not_read_gets_no_more_and_holds_up_nobody(endpoint: Endpoint) -> None:
    many = b"GET /v2/models/cnnselect HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000
    with endpoint.connect() as client:
        client.settimeout(0.5)
        sent_bytes = 0
        with contextlib.suppress(TimeoutError):
            while sent_bytes < MOST_UNREAD:
                sent_bytes += client.send(many)
        assert sent_bytes < MOST_UNREAD, "it reads on, though nobody reads its replies"
        assert endpoint.ask("GET", "/v2/health/live").status_code == 200
    assert endpoint.classify().status_code == 200
