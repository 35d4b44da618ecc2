"""The service without a socket or processes: what is answered, what is refused, and what the log says of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from answering import PICTURE, Answering, Asked
from described import OPERATIONS, filled
from metrics import samples

from ondevice.cloud.app.tokens import Tokens
from ondevice.cloud.backends.states import ModelState
from ondevice.errors import ImageError, ModelLoadError, RefusedError
from ondevice.selection.replies import ReplyDistribution

INFER, NAMED = "/v2/models/cnnselect/infer", "/v2/models/small/infer"
SECRET = "/srv/secret.tflite"


@pytest.fixture
def backend() -> Answering:
    return Answering(small=0.5, large=0.9)


@pytest.fixture
def asked(backend: Answering) -> Asked:
    return Asked(backend)


def error(body: bytes) -> str:
    said: str = json.loads(body)["error"]
    return said


def selected(body: bytes) -> list[str]:
    """The models that answer, line by line."""
    return [json.loads(line)["parameters"]["selected_model"] for line in body.splitlines()]


@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_is_answered(asked: Asked, path: str, method: str) -> None:
    status, _ = asked.ask(method.upper(), filled(path, "small"), b"{}")
    assert status != 500
    assert [line["status"] for line in asked.log.named("request")] == [status]


def test_the_best_answers_and_the_log_says_so(asked: Asked) -> None:
    status, body = asked.ask("POST", f"{INFER}?top=1", b"picture", content_type=PICTURE)
    assert (status, selected(body)) == (200, ["large"])
    (line,) = asked.log.named("request")
    assert {**line, **{"peer": "client", "bytes": 7, "selected_model": "large", "on_time": True}} == line


def test_the_next_best_answers_for_one_that_fails(asked: Asked, backend: Answering) -> None:
    backend.errors["large"] = ModelLoadError("no such file", "large")
    status, body = asked.ask("POST", INFER, b"picture", content_type=PICTURE)
    assert (status, selected(body)) == (200, ["small"])
    assert [line["model"] for line in asked.log.named("chosen again")] == ["large"]


# The reply takes almost all of the time there is: a fast model may be in time where the best is not.
UNSURE = (
    f"anytime=2&sla_ms=900&upload_ms=0&device_top1=0.1&reply={ReplyDistribution(np.linspace(850, 900, 21), 0, 1).text}"
)


def test_several_answers_are_lines_and_one_request() -> None:
    asked = Asked(Answering(times_ms={"small": 1.0, "large": 25.0}, small=0.5, large=0.9))
    status, body = asked.ask("POST", f"{INFER}?{UNSURE}", b"picture", content_type=PICTURE)
    assert (status, selected(body)) == (200, ["small", "large"])
    assert [json.loads(line)["parameters"]["final"] for line in body.splitlines()] == [False, True]
    (line,) = asked.log.named("request")
    assert (line["status"], line["answers"], line["selected_model"]) == (200, 2, "large")


def test_of_several_answers_one_may_be_lost() -> None:
    backend = Answering(times_ms={"small": 1.0, "large": 25.0}, small=0.5, large=0.9)
    backend.errors["large"] = ModelLoadError("no such file", "large")
    asked = Asked(backend)
    status, body = asked.ask("POST", f"{INFER}?{UNSURE}", b"picture", content_type=PICTURE)
    assert (status, selected(body)) == (200, ["small"])
    assert [line["model"] for line in asked.log.named("answer lost")] == ["large"]
    assert len(asked.log.named("request")) == 1


def test_a_fault_of_ours_is_an_internal_error_whose_trace_is_in_the_log_alone(asked: Asked, backend: Answering) -> None:
    backend.errors["small"] = KeyError(SECRET)
    status, body = asked.ask("POST", NAMED, b"picture", content_type=PICTURE)
    assert (status, error(body)) == (500, "internal error")
    assert SECRET in asked.log.named("internal error")[0]["traceback"]
    assert [line["status"] for line in asked.log.named("request")] == [500]


def test_a_picture_that_cannot_be_read_is_asked_of_one_model_alone(asked: Asked, backend: Answering) -> None:
    backend.errors["large"] = ImageError("7 bytes: is not a picture", None)
    assert asked.ask("POST", INFER, b"picture", content_type=PICTURE)[0] == 400
    assert backend.done == ["large"]


def test_what_is_refused_is_counted(asked: Asked, backend: Answering) -> None:
    backend.errors["small"] = RefusedError("no model can answer in time", 1)
    assert asked.ask("POST", NAMED, b"picture", content_type=PICTURE)[0] == 503
    found = samples(asked.metrics.text()[1].decode())
    assert found["ondevice_refused_total", ()] == 1
    assert found["ondevice_requests_total", (("operation", "infer"), ("status", "503"))] == 1


def test_what_tells_whether_workers_are_needed_is_counted(asked: Asked, backend: Answering) -> None:
    assert asked.ask("POST", NAMED, b"picture", content_type=PICTURE)[0] == 200
    found = samples(asked.metrics.text()[1].decode())
    assert found["ondevice_admitted_total", ()] == 1
    assert found["ondevice_crowded_out_total", ()] == found["ondevice_price_total", ()] == 0
    assert ("ondevice_worked_seconds_total", ()) in found


@pytest.mark.parametrize(
    ("state", "status", "said"),
    [
        (ModelState.GONE, 400, "small is not loaded: POST /v2/repository/models/small/load first"),
        (ModelState.FAILING, 503, "small cannot be run now: ask another model, or try again"),
        (ModelState.LOADING, 503, "small cannot be run now: ask another model, or try again"),
    ],
)
def test_a_named_model_that_cannot_be_asked(
    asked: Asked, backend: Answering, state: ModelState, status: int, said: str
) -> None:
    backend.states["small"] = state
    found, body = asked.ask("POST", NAMED, b"picture", content_type=PICTURE)
    assert (found, error(body)) == (status, said)
    assert backend.done == []
    assert asked.ask("GET", "/v2/models/small/ready")[0] == 503
    assert asked.ask("GET", "/v2/models/large/ready")[0] == 200


def test_it_is_ready_while_any_model_can_be_asked_until_it_is_stopped(asked: Asked, backend: Answering) -> None:
    def ready() -> list[int]:
        return [asked.ask("GET", path)[0] for path in ("/v2/health/ready", "/v2/models/cnnselect/ready")]

    assert ready() == [200, 200]
    backend.is_ready = False
    assert ready() == [503, 503]
    backend.is_ready = True
    asked.service.stop()
    assert ready() == [503, 503]
    assert asked.ask("GET", "/v2/health/live")[0] == 200
    assert asked.ask("POST", INFER, b"picture", content_type=PICTURE)[0] == 200


def test_unloading_and_loading(asked: Asked, backend: Answering) -> None:
    assert asked.ask("POST", "/v2/repository/models/large/unload")[0] == 200
    assert selected(asked.ask("POST", INFER, b"picture", content_type=PICTURE)[1]) == ["small"]
    backend.errors["large"] = ModelLoadError(SECRET, "large")
    status, body = asked.ask("POST", "/v2/repository/models/large/load")
    assert (status, error(body)) == (503, "large cannot be loaded: the server's log says why")
    assert asked.log[-1]["error"] == SECRET
    backend.errors.clear()
    assert asked.ask("POST", "/v2/repository/models/large/load")[0] == 200
    assert selected(asked.ask("POST", INFER, b"picture", content_type=PICTURE)[1]) == ["large"]


def test_of_several_that_have_a_model_one_that_can_be_asked_is_and_all_are_unloaded() -> None:
    far, near = Answering("far", small=0.5), Answering("near", small=0.5)
    asked = Asked(far, near)
    far.is_ready = False
    assert asked.ask("POST", NAMED, b"picture", content_type=PICTURE)[0] == 200
    assert (far.done, near.done) == ([], ["small"])
    asked.ask("POST", "/v2/repository/models/small/unload")
    assert (far.states, near.states) == ({"small": ModelState.GONE}, {"small": ModelState.GONE})


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("GET", "/v2/models/none", 404, "no model 'none': there are cnnselect, small, large"),
        ("GET", "/nowhere", 404, "no such path: /nowhere; GET /openapi.json lists all"),
        ("PUT", "/v2", 405, "/v2 takes GET, not PUT"),
        ("POST", "/v2/models/small/select", 404, "small selects nothing: ask cnnselect"),
        ("POST", "/v2/repository/models/cnnselect/load", 404, "cnnselect is not loaded or unloaded itself"),
    ],
)
def test_what_is_not_there(asked: Asked, method: str, path: str, status: int, said: str) -> None:
    found, body = asked.ask(method, path)
    assert found == status
    assert error(body).startswith(said)
    assert [(line["path"], line["error"]) for line in asked.log.named("request")] == [(path, error(body))]


def test_only_who_has_a_token_may_ask_but_for_the_health(backend: Answering, tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("sixteen-characters-and-more\n")
    asked = Asked(backend, may_ask=Tokens(tmp_path / "tokens"))
    assert asked.ask("GET", "/v2/health/ready")[0] == 200
    status, body = asked.ask("GET", "/v2")
    assert (status, error(body)) == (401, "give a valid token: Authorization: Bearer TOKEN")
    assert asked.ask("GET", "/v2", authorization="Bearer sixteen-characters-and-more")[0] == 200


def test_requests_are_counted_by_operation_and_only_answers_are_timed(asked: Asked) -> None:
    assert asked.ask("GET", "/v2")[0] == 200
    assert asked.ask("GET", "/nowhere")[0] == 404
    assert asked.service.refusal(400, "no valid request").status == 400
    found = samples(asked.metrics.text()[1].decode())
    for operation, status in (("server", "200"), ("unknown", "404"), ("unknown", "400")):
        assert found["ondevice_requests_total", (("operation", operation), ("status", status))] == 1
    timed = {labels: count for (name, labels), count in found.items() if name == "ondevice_request_seconds_count"}
    assert timed == {(("operation", "server"),): 1}
    assert found["ondevice_request_seconds_sum", (("operation", "server"),)] > 0
    assert ["total_ms" in line for line in asked.log.named("request")] == [True, True, False]


def test_a_body_in_an_unknown_coding_is_not_read(asked: Asked) -> None:
    status, body = asked.ask("POST", INFER, b"", content_type=PICTURE, content_encoding="br")
    assert (status, error(body)) == (
        415,
        "Content-Encoding br is not read here: send it as it is, or as one of gzip, deflate",
    )
