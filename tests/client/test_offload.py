"""The client in front of a rude endpoint, and of none: an answer always comes, and it says from where."""

from __future__ import annotations

import gc
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from certificates import self_signed, server_context
from good_endpoint import endpoint
from manners import MANNERS, NONSENSE
from rude import Rude, answering, deaf, http, stalling
from serving import until

from ondevice import Answer, OffloadClient, Runner
from ondevice.client import dispatcher
from ondevice.client.executors.attempt import Ending, Task
from ondevice.client.offload import Event, Options
from ondevice.errors import ImageError, OffloadError, UnknownModelError, UsageError
from ondevice.models import zoo

SMALL = "digits_xs_int8"
PATHS = sorted(zoo.samples_dir().glob("*/*.png"))
PICTURE = PATHS[0].read_bytes()
# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"
# A deadline that is never meant to pass.
LONG_MS = 20_000.0


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(SMALL)


def test_cascade_holds_the_deadline_when_the_cloud_does_not_answer(runner: Runner) -> None:
    with Rude(deaf) as server, OffloadClient(server.url, runner, 1500, "cascade", Options(confident=2)) as client:
        answers = [client.classify(path) for path in PATHS[:3]]
    assert [answer.index for answer in answers] == [runner.classify(path).index for path in PATHS[:3]]
    assert {answer.where for answer in answers} == {"device"}
    assert client.totals.both >= 1
    assert answers[0].why == "the cloud was late"


def test_cascade_in_airplane_mode(runner: Runner) -> None:
    with OffloadClient(NOWHERE, runner, LONG_MS, "cascade", Options(confident=2)) as client:
        answers = [client.classify(path) for path in PATHS[:20]]
    assert {answer.where for answer in answers} == {"device"}
    assert all("refuses connections" in answer.why for answer in answers)
    assert client.totals.sent_bytes == 0


def test_the_reserve_is_taken_in_time_though_the_clients_thread_is_held_up(runner: Runner) -> None:
    held, go, over = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        held.set()
        go.wait(20)
        over.set()

    def hold_up(event: Event) -> None:
        if event.what == "device answer":
            client._engine.post(hold)

    with Rude(stalling(endpoint, 10), told=endpoint) as server:
        client = OffloadClient(server.url, runner, 800, "hedge", Options(confident=1.0, observe=hold_up))
        with client:
            answer = client.classify(PICTURE)
            assert held.is_set()
            assert not over.is_set(), "it has waited for that thread"
            go.set()
    assert (answer.where, answer.why) == ("device", "the cloud was late")
    assert client.totals.failures == {"late": 1}


# Without one


def test_airplane_mode(runner: Runner) -> None:
    with OffloadClient(NOWHERE, runner, LONG_MS, "hedge") as client:
        answers = [client.classify(path) for path in PATHS[:20]]
    assert {answer.where for answer in answers} == {"device"}
    assert all("refuses connections" in answer.why for answer in answers)
    # After the first failure nothing is tried but a probe now and then.
    assert client.totals.failures["refused"] <= 2


def test_neither_place() -> None:
    with OffloadClient(NOWHERE) as client, pytest.raises(OffloadError, match="refuses connections") as caught:
        client.classify(PICTURE)
    assert caught.value.failure == "refused"
    assert "no model on the device" in str(caught.value)


# Rude ones


@pytest.mark.parametrize("manner", MANNERS)
def test_whatever_the_server_does_the_device_answers(manner: str, runner: Runner) -> None:
    with Rude(MANNERS[manner][0]) as server, OffloadClient(server.url, runner, 60, "hedge") as client:
        answers = [client.classify(path) for path in PATHS[:3]]
    assert [answer.index for answer in answers] == [runner.classify(path).index for path in PATHS[:3]]
    assert {answer.where for answer in answers} == {"device"}


@pytest.mark.parametrize("body", NONSENSE)
def test_nonsense_is_a_failure_of_the_cloud(body: str, runner: Runner) -> None:
    with Rude(answering(http(NONSENSE[body]))) as server, OffloadClient(server.url, runner, LONG_MS, "hedge") as client:
        answer = client.classify(PICTURE)
    assert answer.where == "device"
    assert "the cloud fail" in answer.why


def test_certificates(tmp_path: Path, runner: Runner) -> None:
    cert, key = self_signed(tmp_path)
    with Rude(answering(endpoint), tls=server_context(cert, key)) as server:
        with OffloadClient(server.url, runner, LONG_MS, "hedge") as client:
            answer = client.classify(PICTURE)
        assert answer.where == "device"
        assert "its certificate is refused" in answer.why
        for verify in (False, str(cert)):
            with OffloadClient(server.url, (), LONG_MS, options=Options(verify=verify)) as client:
                assert client.classify(PICTURE).where == "cloud"


# Calls that are wrong


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"endpoint": "localhost:8000"}, "did you mean http://localhost:8000"),
        ({"endpoint": "ftp://localhost"}, "not the address of a server"),
        ({"endpoint": NOWHERE, "sla_ms": 0}, "the deadline must be over 0 ms, not 0"),
        ({"endpoint": NOWHERE, "sla_ms": float("nan")}, "the deadline must be over 0"),
        ({"endpoint": NOWHERE, "mode": "sometimes"}, "there are device, cloud, hedge, auto, cascade"),
        ({"mode": "device"}, "needs a local model"),
        ({}, "needs an endpoint"),
        ({"endpoint": NOWHERE, "options": Options(top=0)}, "top must be 1 or more"),
        ({"endpoint": NOWHERE, "options": Options(anytime=0)}, "anytime must be from 1 to 8 answers, not 0"),
        ({"endpoint": NOWHERE, "options": Options(patience_ms=1e300)}, "patience must be from 0 ms to an hour"),
        ({"endpoint": NOWHERE, "options": Options(patience_ms=-1)}, "patience must be from 0 ms to an hour"),
        ({"endpoint": NOWHERE, "options": Options(confident=0)}, "confident must be over 0"),
        ({"endpoint": NOWHERE, "mode": "cascade", "options": Options(confident=-1)}, "confident must be over 0"),
        ({"mode": "cascade"}, "mode cascade needs an endpoint"),
        ({"endpoint": "https://localhost", "options": Options(verify="/no/such/file")}, "not a file of certificates"),
    ],
)
def test_wrong_calls(arguments: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        OffloadClient(**arguments)  # type: ignore[arg-type]


def test_a_local_model_that_is_not_there() -> None:
    with pytest.raises(UnknownModelError, match="no_such_model"):
        OffloadClient(NOWHERE, "no_such_model")


# What is wrong with files


def test_a_pipe_that_nobody_writes_to_costs_its_request_alone(
    tmp_path: Path, runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "_PIPE_S", 0.1)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for mode in ("device", "hedge"):
        with OffloadClient(NOWHERE, runner, LONG_MS, mode, Options(patience_ms=0)) as client:
            for _ in range(5):
                with pytest.raises(ImageError, match="nobody has written it in time"):
                    client.classify(pipe, 100)
            assert client.classify(PATHS[0]).where == "device"


def test_a_pipe_that_somebody_writes_to(tmp_path: Path, runner: Runner) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with OffloadClient(None, runner, LONG_MS, "device") as client, ThreadPoolExecutor(1) as pool:
        pool.submit(pipe.write_bytes, PICTURE)
        assert client.classify(pipe).index == runner.classify(PICTURE).index


# Its end


def test_closing_it_ends_who_waits_for_the_endpoint() -> None:
    with Rude(deaf) as server, ThreadPoolExecutor(1) as pool:
        client = OffloadClient(server.url)
        waiting = pool.submit(client.ready, 60)
        until(lambda: server.visits)
        client.close()
        with pytest.raises(OffloadError, match="the client is closed"):
            waiting.result(30)


def test_an_answer_is_there_though_the_client_was_closed_meanwhile(
    runner: Runner, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = OffloadClient(None, runner, LONG_MS, "device")
    landed = client._landed

    def close_first(task: Task, ending: Ending) -> Answer:
        client.close()
        return landed(task, ending._replace(held=True))

    monkeypatch.setattr(client, "_landed", close_first)
    assert client.classify(PATHS[0]).where == "device"


@pytest.mark.parametrize("mode", ["cloud", "device", "hedge"])
def test_nothing_is_left_of_one_that_was_never_closed(mode: str) -> None:
    before = threading.active_count()
    with Rude(answering(endpoint)) as server:
        client = OffloadClient(server.url, () if mode == "cloud" else SMALL, LONG_MS, mode)
        client.classify(PICTURE)
        assert threading.active_count() > before
        del client
        gc.collect()
        until(lambda: all(visit.gone.is_set() for visit in server.visits))
    until(lambda: threading.active_count() <= before)
