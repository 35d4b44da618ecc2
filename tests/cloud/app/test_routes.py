"""The paths of the service."""

from __future__ import annotations

import pytest

from ondevice.cloud.app import routes
from ondevice.cloud.app.routes import Route
from ondevice.errors import NoRouteError


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("GET", "/v2", Route("server")),
        ("GET", "/v2/", Route("server")),
        ("GET", "/v2/health/live", Route("live")),
        ("HEAD", "/v2/health/ready", Route("ready")),
        ("GET", "/v2/models/a", Route("model", "a")),
        ("GET", "/v2/models/a/ready", Route("model_ready", "a")),
        ("GET", "/v2/models/a/config", Route("config", "a")),
        ("GET", "/v2/models/a/versions/1/stats", Route("stats", "a")),
        ("GET", "/v2/models/stats", Route("all_stats")),
        ("POST", "/v2/models/a/infer", Route("infer", "a")),
        ("POST", "/v2/models/a/versions/1/infer", Route("infer", "a")),
        ("GET", "/v2/models/a/versions/1", Route("model", "a")),
        ("POST", "/v2/models/cnnselect/select", Route("select", "cnnselect")),
        ("POST", "/v2/repository/index", Route("index")),
        ("POST", "/v2/repository/models/a/load", Route("load", "a")),
        ("POST", "/v2/repository/models/a/unload", Route("unload", "a")),
        ("GET", "/metrics", Route("metrics")),
        ("GET", "/openapi.json", Route("openapi")),
    ],
)
def test_every_path_has_its_operation(method: str, path: str, route: Route) -> None:
    assert routes.find(method, path) == route


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/", 404),
        ("GET", "", 404),
        ("GET", "/v1/models", 404),
        ("GET", "/v2/models", 404),
        ("GET", "/v2/models/a/b/c", 404),
        ("POST", "/v2/models/a/nothing", 404),
        ("POST", "/v2/repository/models/a", 404),
        ("GET", "/v2/models/a/versions/2", 404),
        ("POST", "/v2/models/a/versions/2/infer", 404),
        ("GET", "/v2/models/a/infer", 405),
        ("POST", "/v2", 405),
        ("DELETE", "/v2/models/a", 405),
        ("HEAD", "/v2/models/a/infer", 405),
    ],
)
def test_other_paths_and_methods_have_none(method: str, path: str, status: int) -> None:
    with pytest.raises(NoRouteError) as caught:
        routes.find(method, path)
    assert caught.value.status == status


def test_a_long_path_is_not_repeated_whole() -> None:
    with pytest.raises(NoRouteError) as caught:
        routes.find("GET", "/" + "a" * 10_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", "/v2/models/a/infer", "infer"),
        ("GET", "/v2/models/a/infer", "unknown"),
        ("GET", "/a", "unknown"),
        ("OPTIONS", "/v2", "options"),
    ],
)
def test_what_strangers_ask_is_counted_by_few_names(method: str, path: str, operation: str) -> None:
    assert routes.operation(method, path) == operation
