"""What Triton's statistics extension tells of models."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from answering import PICTURE, Answering, Asked

from ondevice.cloud.app.statistics import Statistics
from ondevice.cloud.backends.backend import InferenceResult
from ondevice.errors import ImageError

INFER = "/v2/models/cnnselect/infer"


def rows(statistics: Statistics) -> dict[str, Any]:
    return {row["name"]: row for row in statistics.as_json()["model_stats"]}


def test_an_answer_counts_for_its_model_and_for_what_was_asked() -> None:
    statistics = Statistics(["cnnselect", "net", "other"])
    result = InferenceResult("net", [], queue_ms=1.0, decode_ms=2.0, infer_ms=3.0)
    statistics.answered("cnnselect", result, 6.5, first=True)
    statistics.answered("net", result, 6.5, first=True)
    found = rows(statistics)
    assert [found[name]["inference_count"] for name in ("cnnselect", "net", "other")] == [1, 2, 0]
    assert found["net"]["inference_stats"] == {
        "success": {"count": 2, "ns": 13_000_000},
        "fail": {"count": 0, "ns": 0},
        "queue": {"count": 2, "ns": 2_000_000},
        "compute_input": {"count": 2, "ns": 4_000_000},
        "compute_infer": {"count": 2, "ns": 6_000_000},
        "compute_output": {"count": 2, "ns": 0},
        "cache_hit": {"count": 0, "ns": 0},
        "cache_miss": {"count": 0, "ns": 0},
    }
    assert found["net"]["batch_stats"][0]["compute_infer"] == {"count": 2, "ns": 6_000_000}
    assert (found["other"]["last_inference"], found["other"]["batch_stats"]) == (0, [])


def test_several_answers_to_one_request_count_once_for_what_was_asked() -> None:
    statistics = Statistics(["cnnselect", "small", "large"])
    statistics.answered("cnnselect", InferenceResult("small", []), 5.0, first=True)
    statistics.answered("cnnselect", InferenceResult("large", []), 9.0, first=False)
    assert {name: row["inference_count"] for name, row in rows(statistics).items()} == {
        "cnnselect": 1, "small": 1, "large": 1,
    }  # fmt: skip


def test_of_names_that_strangers_make_up_nothing_is_kept() -> None:
    statistics = Statistics(["cnnselect", "net"])
    for name in ("net", "nothing"):
        statistics.failed(name, 4.0)
    assert {name: row["inference_stats"]["fail"] for name, row in rows(statistics).items()} == {
        "cnnselect": {"count": 0, "ns": 0},
        "net": {"count": 1, "ns": 4_000_000},
    }


def test_what_a_service_was_asked_is_told() -> None:
    backend = Answering(small=0.5, large=0.9)
    asked = Asked(backend)
    asked.ask("POST", INFER, b"picture", content_type=PICTURE)
    backend.errors["small"] = ImageError("7 bytes: is not a picture", None)
    asked.ask("POST", "/v2/models/small/infer", b"picture", content_type=PICTURE)
    asked.ask("POST", "/v2/models/nothing/infer", b"picture", content_type=PICTURE)
    asked.ask("POST", INFER, b"rubbish")
    status, body = asked.ask("GET", "/v2/models/stats")
    counts = {
        row["name"]: (row["inference_stats"]["success"]["count"], row["inference_stats"]["fail"]["count"])
        for row in json.loads(body)["model_stats"]
    }
    assert (status, counts) == (200, {"cnnselect": (1, 1), "small": (0, 1), "large": (1, 0)})
    (row,) = json.loads(asked.ask("GET", "/v2/models/large/versions/1/stats")[1])["model_stats"]
    assert (row["name"], row["execution_count"]) == ("large", 1)
    assert asked.ask("GET", "/v2/models/nothing/stats")[0] == 404
