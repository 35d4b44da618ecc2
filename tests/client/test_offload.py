"""The client in front of a real endpoint, a rude one, and none: an answer always comes, and it says from where."""

from __future__ import annotations

import contextlib
import dataclasses
import gc
import itertools
import logging
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rude import MANNERS, NONSENSE, Rude, answering, certificate, deaf, endpoint, http, refusal, serving
from serving import Endpoint, until

from ondevice import Answer, OffloadClient, Runner
from ondevice.client.flight import Event
from ondevice.client.offload import CONFIDENT, Options
from ondevice.errors import ImageError, ModelError, OffloadError, UnknownModelError, UsageError
from ondevice.image import ImageSource, pixels
from ondevice.lab.link import Direction, Links, LinkSpec
from ondevice.models import zoo
from ondevice.models.card import Input

SMALL, BEST = "digits_xs_int8", "digits_l_int8"
PATHS = sorted(zoo.samples_dir().glob("*/*.png"))
PICTURE = PATHS[0].read_bytes()
# Nobody listens there.
NOWHERE = "http://127.0.0.1:9"
# A deadline that is never meant to pass.
LONG_MS = 20_000.0


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    with Endpoint(tmp_path_factory.mktemp("endpoint"), "--models", f"{SMALL},{BEST}") as endpoint:
        yield endpoint


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(SMALL)


def ready(client: OffloadClient) -> OffloadClient:
    assert client.cloud
    assert client.cloud.ready(10)
    return client


# With a real endpoint


def test_the_cloud_answers_as_its_model_would(served: Endpoint, runner: Runner) -> None:
    best = Runner(BEST)
    with OffloadClient(served.url, runner, LONG_MS) as client:
        ready(client)
        answers = [client.classify(path) for path in PATHS[::25]]
    assert [answer.index for answer in answers] == [best.classify(path).index for path in PATHS[::25]]
    for answer in answers:
        assert (answer.where, answer.model, answer.on_time) == ("cloud", BEST, True)
        assert answer.total_ms >= answer.network_ms + answer.queue_ms + answer.decode_ms + answer.invoke_ms - 1
    assert client.totals.cloud == client.totals.on_time == client.totals.requests == len(answers)
    assert client.totals.sent_bytes == sum(path.stat().st_size for path in PATHS[::25])


def test_a_deadline_that_only_the_device_can_meet(served: Endpoint, runner: Runner) -> None:
    both = Direction(latency_ms=150)
    with Links() as links:
        url = f"http://127.0.0.1:{links.open(LinkSpec(('127.0.0.1', served.port), both, both)).port}"
        with OffloadClient(url, runner, LONG_MS) as client:
            ready(client)
            assert client.classify(PICTURE).where == "cloud"  # which tells how far it is
            answers = [client.classify(path, sla_ms=200) for path in PATHS[:10]]
    assert {answer.where for answer in answers} == {"device"}
    assert all("device expected" in answer.why for answer in answers)
    assert sum("tried all the same" in answer.why for answer in answers) in (1, 2)


@pytest.mark.parametrize("mode", ["cloud", "hedge", "auto", "cascade"])
def test_every_kind_of_picture_gets_the_same_answer(served: Endpoint, runner: Runner, mode: str) -> None:
    path = PATHS[40]
    array = pixels(path, Input(128, 128, 1, crop=1.0))
    with OffloadClient(
        served.url, runner, LONG_MS, mode, Options(confident=2 if mode == "cascade" else None)
    ) as client:
        ready(client)
        found = {client.classify(source).index for source in (path, str(path), path.read_bytes(), array)}
    assert found == {Runner(BEST).classify(path).index}


def test_a_fast_model_answers_before_the_best_one_where_the_reply_may_be_late(served: Endpoint) -> None:
    told: list[Event] = []
    both = Direction(latency_ms=25, jitter_ms=20)
    with Links() as links:
        url = f"http://127.0.0.1:{links.open(LinkSpec(('127.0.0.1', served.port), both, both)).port}"
        with OffloadClient(url, (), 70, "cloud", Options(anytime=2, observe=told.append)) as client:
            ready(client)

            def two_answers() -> bool:
                """Of one request; the late ones are of no matter here."""
                told.clear()
                with contextlib.suppress(OffloadError):
                    client.classify(PICTURE)
                return [event.what for event in told].count("cloud answer") == 2

            until(two_answers)
            answer = client.classify(PICTURE, sla_ms=LONG_MS)
    assert (answer.where, answer.model, answer.index) == ("cloud", BEST, Runner(BEST).classify(PICTURE).index)


def test_device_mode_sends_nothing(served: Endpoint, runner: Runner) -> None:
    before = served.get("/v2/models/cnnselect")  # the endpoint lives
    assert before
    with OffloadClient(served.url, runner, LONG_MS, "device") as client:
        answer = client.classify(PICTURE)
    assert (answer.where, answer.sent_bytes, client.totals.sent_bytes) == ("device", 0, 0)
    assert answer.index == runner.classify(PICTURE).index


def test_cloud_mode_runs_nothing_here(served: Endpoint, runner: Runner) -> None:
    with OffloadClient(served.url, runner, LONG_MS, "cloud") as client:
        assert client.classify(PICTURE).where == "cloud"
        assert client.device is None


def test_a_confident_device_ends_requests(served: Endpoint) -> None:
    sure = Runner(BEST)
    with OffloadClient(served.url, sure, LONG_MS, "hedge", Options(confident=1e-6)) as client:
        answer = ready(client).classify(PICTURE)
    assert answer.where == "device" or answer.model == BEST


def test_what_happens_is_told(served: Endpoint, runner: Runner) -> None:
    events: list[Event] = []
    with OffloadClient(served.url, runner, LONG_MS, "hedge", Options(observe=events.append)) as client:
        ready(client).classify(PICTURE)
        client.classify(PICTURE)
    assert [(event.request, event.what) for event in events] == [
        (0, "sent"), (0, "cloud answer"), (0, "answered"), (1, "sent"), (1, "cloud answer"), (1, "answered"),
    ]  # fmt: skip
    assert all(a.at_ms <= b.at_ms for a, b in itertools.pairwise(events[:3]))


def test_several_threads_may_ask(served: Endpoint, runner: Runner) -> None:
    found: list[int] = []

    def ask() -> None:
        found.extend(client.classify(path).index for path in PATHS[::20])

    with OffloadClient(served.url, runner, LONG_MS, "hedge") as client:
        ready(client)
        threads = [threading.Thread(target=ask) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    expected = [Runner(BEST).classify(path).index for path in PATHS[::20]]
    assert found.count(expected[0]) >= 6
    assert sorted(found) == sorted(expected * 6)
    assert client.totals.requests == len(found)


def test_nothing_is_left_behind(served: Endpoint, runner: Runner) -> None:
    before = threading.active_count()
    for _ in range(3):
        with OffloadClient(served.url, runner, LONG_MS) as client:
            client.classify(PICTURE)
    gc.collect()
    until(lambda: threading.active_count() <= before)


# The device first, and the cloud if that is unsure


def scores(runner: Runner) -> list[float]:
    return [runner.classify(path).score for path in PATHS[::10]]


def test_cascade_sends_what_the_device_is_unsure_of_alone(served: Endpoint, runner: Runner) -> None:
    sure = [score >= CONFIDENT for score in scores(runner)]
    assert {True, False} == set(sure)
    with OffloadClient(served.url, runner, LONG_MS, "cascade") as client:
        ready(client)
        answers = [client.classify(path) for path in PATHS[::10]]
    for answer, is_sure, path in zip(answers, sure, PATHS[::10], strict=True):
        if is_sure:
            assert (answer.where, answer.sent_bytes) == ("device", 0)
            assert answer.why == f"the device was confident: {answer.score:.3f}"
        else:
            assert (answer.where, answer.model, answer.sent_bytes) == ("cloud", BEST, path.stat().st_size)
            assert answer.why.startswith("the device was unsure: 0.")
    assert client.totals.sent_bytes == sum(answer.sent_bytes for answer in answers)
    assert client.totals.both == sure.count(False)


@pytest.mark.parametrize(("confident", "asked"), [(1e-6, 0), (2.0, 1)])
def test_how_sure_is_sure_enough_can_be_said(served: Endpoint, runner: Runner, confident: float, asked: int) -> None:
    with OffloadClient(served.url, runner, LONG_MS, "cascade", Options(confident=confident)) as client:
        ready(client)
        answers = [client.classify(path) for path in PATHS[::25]]
    assert {answer.where for answer in answers} == {("device", "cloud")[asked]}
    assert client.totals.both == asked * len(answers)


def test_confident_is_as_it_was_in_the_other_modes(served: Endpoint, runner: Runner) -> None:
    sure = max(PATHS[::10], key=lambda path: runner.classify(path).score)
    assert runner.classify(sure).score >= CONFIDENT
    with OffloadClient(served.url, runner, LONG_MS, "hedge") as client:
        assert ready(client).classify(sure).where == "cloud"


def test_cascade_without_a_model_here_is_as_cloud(served: Endpoint) -> None:
    with OffloadClient(served.url, (), LONG_MS, "cascade") as client:
        answer = ready(client).classify(PICTURE)
    assert (answer.where, answer.why) == ("cloud", "cloud only")


def test_cascade_holds_the_deadline_when_the_cloud_does_not_answer(runner: Runner) -> None:
    with Rude(deaf) as server, OffloadClient(server.url, runner, 300, "cascade", Options(confident=2)) as client:
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


def test_cascade_sends_nothing_when_too_little_time_is_left(served: Endpoint, runner: Runner) -> None:
    both = Direction(latency_ms=150)
    with Links() as links:
        url = f"http://127.0.0.1:{links.open(LinkSpec(('127.0.0.1', served.port), both, both)).port}"
        with OffloadClient(url, runner, LONG_MS, "cascade", Options(confident=2)) as client:
            ready(client)
            assert client.classify(PICTURE).where == "cloud"  # which tells how far it is
            answers = [client.classify(path, sla_ms=200) for path in PATHS[:10]]
    assert {answer.where for answer in answers} == {"device"}
    quiet = [answer for answer in answers if "tried all the same" not in answer.why]
    assert len(quiet) >= 8
    for answer in quiet:
        assert "device expected" in answer.why
        assert answer.sent_bytes == 0


class Slow(Runner):
    """Takes so much longer, each time."""

    longer_s = 0.0

    def classify(self, image: ImageSource, top: int = 5) -> Answer:
        time.sleep(self.longer_s)
        answer = super().classify(image, top)
        return dataclasses.replace(answer, total_ms=answer.total_ms + self.longer_s * 1e3)


def test_cascade_asks_at_once_where_the_device_cannot_be_in_time(served: Endpoint) -> None:
    slow = Slow(SMALL)
    slow.longer_s = 1.5
    with OffloadClient(served.url, slow, LONG_MS, "cascade") as client:
        answer = ready(client).classify(PICTURE, sla_ms=1000)
    assert (answer.where, answer.model) == ("cloud", BEST)
    assert "the cloud is not known yet" in answer.why or "cloud expected" in answer.why
    assert client.totals.both == 0  # the device would only have been late


def test_cascade_sends_nothing_after_the_deadline(served: Endpoint) -> None:
    slow = Slow(SMALL)
    with OffloadClient(served.url, slow, LONG_MS, "cascade", Options(confident=2)) as client:
        slow.longer_s = 0.6  # slower than it was when it was measured
        answer = ready(client).classify(PICTURE, sla_ms=500)
    assert (answer.where, answer.on_time, answer.sent_bytes) == ("device", False, 0)
    assert answer.why.endswith("; no time is left")


def test_cascade_trusts_a_device_again_that_was_slow_once(served: Endpoint) -> None:
    slow = Slow(SMALL)
    with OffloadClient(served.url, slow, LONG_MS, "cascade", Options(confident=1e-6)) as client:
        ready(client)
        slow.longer_s = 0.6
        assert client.classify(PICTURE, sla_ms=500).where == "device"
        slow.longer_s = 0.0
        assert not client.classify(PICTURE, sla_ms=500).why.startswith("the device was confident")
        until(lambda: client.classify(PICTURE, sla_ms=500).why.startswith("the device was confident"))


def test_cascade_asks_the_cloud_where_the_device_fails(served: Endpoint) -> None:
    class Broken(Runner):
        broken = False

        def classify(self, image: ImageSource, top: int = 5) -> Answer:
            if self.broken:
                raise ModelError("the model is broken", "m")
            return super().classify(image, top)

    broken = Broken(SMALL)
    with OffloadClient(served.url, broken, LONG_MS, "cascade") as client:
        broken.broken = True
        answer = ready(client).classify(PICTURE)
    assert (answer.where, answer.why) == ("cloud", "the device failed: the model is broken")


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


def test_a_picture_that_is_none(served: Endpoint, runner: Runner, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    for mode in ("device", "hedge", "auto", "cascade"):
        with OffloadClient(served.url, runner, LONG_MS, mode) as client:
            for bad in (text, b"no picture", tmp_path / "missing.png", tmp_path):
                with pytest.raises(ImageError):
                    client.classify(bad)
            assert client.classify(PICTURE).label
    with OffloadClient(served.url, (), LONG_MS, "cloud") as client, pytest.raises((ImageError, OffloadError)):
        ready(client).classify(text)


# Rude ones


@pytest.mark.parametrize("manner", MANNERS)
def test_whatever_the_server_does_the_device_answers(manner: str, runner: Runner) -> None:
    with Rude(MANNERS[manner][0]) as server, OffloadClient(server.url, runner, 300, "hedge") as client:
        answers = [client.classify(path) for path in PATHS[:3]]
    assert [answer.index for answer in answers] == [runner.classify(path).index for path in PATHS[:3]]
    assert {answer.where for answer in answers} == {"device"}


@pytest.mark.parametrize("body", NONSENSE)
def test_nonsense_is_a_failure_of_the_cloud(body: str, runner: Runner) -> None:
    with Rude(answering(http(NONSENSE[body]))) as server, OffloadClient(server.url, runner, LONG_MS, "hedge") as client:
        answer = client.classify(PICTURE)
    assert answer.where == "device"
    assert "the cloud fail" in answer.why


def test_a_stream_through_all_of_it(tmp_path: Path, runner: Runner) -> None:
    """Killed, replaced by a rude one, stalled, and back: an answer for each, and the cloud again in the end."""
    answers: list[Answer] = []

    def ask(count: int) -> None:
        answers.extend(client.classify(path, sla_ms=150) for path in itertools.islice(itertools.cycle(PATHS), count))

    with Endpoint(tmp_path, "--models", f"{SMALL},{BEST}") as endpoint:
        client = OffloadClient(endpoint.url, runner, 150, "hedge")
        ready(client)
        ask(20)
        port = endpoint.port
        endpoint.stop(signal.SIGKILL)
        ask(20)
        for behaviour in (answering(http(b"<html>")), deaf, answering(refusal(500, "no"))):
            with Rude(behaviour, port=port):
                ask(10)
    again = tmp_path / "again"
    again.mkdir()
    with Endpoint(again, "--models", f"{SMALL},{BEST}", "--port", port):
        ask(20)
        until(lambda: ask(1) or answers[-1].where == "cloud")
        client.close()
    assert {answer.where for answer in answers[20:70]} == {"device"}
    assert client.totals.requests == len(answers)


def test_the_token(tmp_path: Path, runner: Runner, caplog: pytest.LogCaptureFixture) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text("right-and-long-enough\n")
    tokens.chmod(0o600)
    home = tmp_path / "home"
    home.mkdir()
    with Endpoint(home, "--models", SMALL, "--tokens", tokens) as endpoint:
        with (
            caplog.at_level(logging.WARNING, "ondevice.client"),
            OffloadClient(endpoint.url, runner, LONG_MS, "hedge", Options(token="wrong")) as client,
        ):
            assert "401: give a valid token" in client.classify(PICTURE).why
            client.classify(PICTURE)
        assert sum("401" in record.getMessage() for record in caplog.records) == 1
        with OffloadClient(endpoint.url, runner, LONG_MS, "cloud", Options(token="right-and-long-enough")) as client:
            assert ready(client).classify(PICTURE).where == "cloud"


def test_certificates(tmp_path: Path, runner: Runner) -> None:
    cert, key = certificate(tmp_path)
    with Rude(answering(endpoint), tls=serving(cert, key)) as server:
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
