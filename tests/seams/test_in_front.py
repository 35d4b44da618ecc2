"""`ondevice serve` in front of other servers, as its clients see it: real processes, real sockets, our own client."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from certificates import self_signed, server_context
from fronting import FP32, INT8
from oip_server import Server, running
from serving import PICTURE, Endpoint

from ondevice.client.endpoint.cnnselect import CnnSelectEndpoint
from ondevice.client.offload import OffloadClient


def test_over_https_its_certificate_is_that_of_the_host_it_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = Server(INT8)
    server.host = "10.1.2.3"
    cert, key = self_signed(tmp_path, host=server.host)
    monkeypatch.setenv("SSL_CERT_FILE", str(cert))
    with (
        running(server, server_context(cert, key)) as url,
        Endpoint(tmp_path, "--upstream", url, "--upstream-host", server.host) as endpoint,
    ):
        assert url.startswith("https://127.0.0.1:")
        assert endpoint.classify().json()["outputs"][0]["data"][0] == "7"


def test_a_model_here_and_there_is_published_once_and_the_client_understands_it(tmp_path: Path) -> None:
    with running(Server(INT8, FP32)) as url, Endpoint(tmp_path, "--models", INT8, "--upstream", url) as endpoint:
        said = endpoint.get("/v2/models/cnnselect")["parameters"]
        assert [row["model"] for row in said["profiles"]] == [INT8, FP32]
        assert {place["where"] for place in said["places"][INT8]} == {"local", url.removeprefix("http://")}
        index = endpoint.ask("POST", "/v2/repository/index").json()
        assert [row["name"] for row in index] == ["cnnselect", INT8, FP32]
        with OffloadClient(endpoint.url, mode="cloud", sla_ms=20_000) as client:
            assert client.cloud
            assert client.ready(60), client.cloud.problem
            assert isinstance(client.cloud.endpoint, CnnSelectEndpoint)
            assert client.classify(PICTURE).label == "7"
