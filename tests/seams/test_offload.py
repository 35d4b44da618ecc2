"""The client in front of a running endpoint: near and far, killed and back."""

from __future__ import annotations

import dataclasses
import gc
import itertools
import logging
import signal
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from rude import Rude, answering, deaf, http, refusal
from serving import Endpoint, until

from ondevice import Answer, OffloadClient, Runner
from ondevice.client.flight import Event
from ondevice.client.offload import CONFIDENT, Options
from ondevice.errors import ImageError, ModelError, OffloadError
from ondevice.image import ImageSource, pixels
from ondevice.lab.link import Direction, Links, LinkSpec
from ondevice.models import zoo
from ondevice.models.card import Input
from ondevice.protocol.rung import Rung
from ondevice.selection.replies import ReplyDistribution

SMALL, BEST = "digits_xs_int8", "digits_l_int8"
PATHS = sorted(zoo.samples_dir().glob("*/*.png"))
PICTURE = PATHS[0].read_bytes()
# A deadline that is never meant to pass.
LONG_MS = 20_000.0


@pytest.fixture(scope="module")
def runner() -> Runner:
    return Runner(SMALL)


def ready(client: OffloadClient) -> OffloadClient:
    assert client.ready(60)
    return client


# With a real endpoint


def test_the_cloud_answers_as_its_model_would(endpoint: Endpoint, runner: Runner) -> None:
    best = Runner(BEST)
    with OffloadClient(endpoint.url, runner, LONG_MS, options=Options(upload="file")) as client:
        ready(client)
        answers = [client.classify(path) for path in PATHS[::25]]
    assert [answer.index for answer in answers] == [best.classify(path).index for path in PATHS[::25]]
    for answer in answers:
        assert (answer.where, answer.model, answer.on_time) == ("cloud", BEST, True)
        assert answer.total_ms >= answer.network_ms + answer.queue_ms + answer.decode_ms + answer.invoke_ms - 1
    assert client.totals.cloud == client.totals.on_time == client.totals.requests == len(answers)
    assert client.totals.sent_bytes == sum(path.stat().st_size for path in PATHS[::25])


def test_with_time_to_spare_as_little_is_sent_as_leaves_all_of_the_accuracy(endpoint: Endpoint, runner: Runner) -> None:
    with OffloadClient(endpoint.url, runner, LONG_MS, "cloud") as client:
        ready(client)
        answers = [client.classify(path) for path in PATHS[::25]]
    known = zoo.find(BEST).card.uploads
    assert known is not None
    for answer, path in zip(answers, PATHS[::25], strict=True):
        assert 0 < answer.sent_bytes < path.stat().st_size
        assert known.kept[Rung.parse(answer.upload)] > 0.995
        assert answer.why == f"cloud only, sent as {answer.upload}"


def test_a_deadline_that_only_the_device_can_meet(endpoint: Endpoint, runner: Runner) -> None:
    both = Direction(latency_ms=150)
    with Links() as links:
        url = f"http://127.0.0.1:{links.open(LinkSpec(('127.0.0.1', endpoint.port), both, both)).port}"
        with OffloadClient(url, runner, LONG_MS) as client:
            ready(client)
            # Which tells how far it is, and that this is no chance.
            assert {client.classify(PICTURE).where for _ in range(6)} == {"cloud"}
            answers = [client.classify(path, sla_ms=200) for path in PATHS[:10]]
    assert {answer.where for answer in answers} == {"device"}
    assert all("device expected" in answer.why for answer in answers)
    assert sum("tried all the same" in answer.why for answer in answers) in (1, 2)


@pytest.mark.parametrize("mode", ["cloud", "hedge", "auto", "cascade"])
def test_every_kind_of_picture_gets_the_same_answer(endpoint: Endpoint, runner: Runner, mode: str) -> None:
    path = PATHS[40]
    array = pixels(path, Input(128, 128, 1, crop=1.0))
    with OffloadClient(
        endpoint.url, runner, LONG_MS, mode, Options(confident=2 if mode == "cascade" else None)
    ) as client:
        ready(client)
        found = {client.classify(source).index for source in (path, str(path), path.read_bytes(), array)}
    assert found == {Runner(BEST).classify(path).index}


def test_a_fast_model_answers_before_the_best_one_where_the_reply_may_be_late(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Event] = []
    # As if replies took almost all of the time there is, and now and then just too long for the best model.
    sla_ms, reply = 900.0, ReplyDistribution(np.linspace(850, 900, 21), 0.0, 1.0)
    with OffloadClient(endpoint.url, (), sla_ms, "cloud", Options(anytime=2, observe=told.append)) as client:
        ready(client)
        assert client.cloud
        monkeypatch.setattr(client.cloud.link.network, "reply", lambda: reply)

        def two_answers() -> Answer | None:
            told.clear()
            answer = client.classify(PICTURE)
            return answer if [event.what for event in told].count("cloud answer") == 2 else None

        answer = until(two_answers)
        told.clear()
        best = client.classify(PICTURE, sla_ms=LONG_MS)
    assert [event.what for event in told] == ["sent", "cloud answer", "answered"]
    assert answer.index == best.index == Runner(BEST).classify(PICTURE).index
    assert (answer.where, best.where, best.model) == ("cloud", "cloud", BEST)


def test_device_mode_sends_nothing(endpoint: Endpoint, runner: Runner) -> None:
    before = endpoint.get("/v2/models/cnnselect")  # the endpoint lives
    assert before
    with OffloadClient(endpoint.url, runner, LONG_MS, "device") as client:
        answer = client.classify(PICTURE)
    assert (answer.where, answer.sent_bytes, client.totals.sent_bytes) == ("device", 0, 0)
    assert answer.index == runner.classify(PICTURE).index


def test_cloud_mode_runs_nothing_here(endpoint: Endpoint, runner: Runner) -> None:
    with OffloadClient(endpoint.url, runner, LONG_MS, "cloud") as client:
        assert client.classify(PICTURE).where == "cloud"
        assert client.device is None


def test_a_confident_device_ends_requests(endpoint: Endpoint) -> None:
    sure = Runner(BEST)
    with OffloadClient(endpoint.url, sure, LONG_MS, "hedge", Options(confident=1e-6)) as client:
        answer = ready(client).classify(PICTURE)
    assert answer.where == "device" or answer.model == BEST


def test_what_happens_is_told(endpoint: Endpoint, runner: Runner) -> None:
    events: list[Event] = []
    with OffloadClient(endpoint.url, runner, LONG_MS, "hedge", Options(observe=events.append)) as client:
        ready(client).classify(PICTURE)
        client.classify(PICTURE)
    assert [(event.request, event.what) for event in events] == [
        (0, "sent"), (0, "cloud answer"), (0, "answered"), (1, "sent"), (1, "cloud answer"), (1, "answered"),
    ]  # fmt: skip
    assert all(a.at_ms <= b.at_ms for a, b in itertools.pairwise(events[:3]))


def test_several_threads_may_ask(endpoint: Endpoint, runner: Runner) -> None:
    found: list[int] = []

    def ask() -> None:
        found.extend(client.classify(path).index for path in PATHS[::20])

    with OffloadClient(endpoint.url, runner, LONG_MS, "hedge") as client:
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


def test_nothing_is_left_behind(endpoint: Endpoint, runner: Runner) -> None:
    before = threading.active_count()
    for _ in range(3):
        with OffloadClient(endpoint.url, runner, LONG_MS) as client:
            client.classify(PICTURE)
    gc.collect()
    until(lambda: threading.active_count() <= before)


# The device first, and the cloud if that is unsure


def scores(runner: Runner) -> list[float]:
    return [runner.classify(path).score for path in PATHS[::10]]


def test_cascade_sends_what_the_device_is_unsure_of_alone(endpoint: Endpoint, runner: Runner) -> None:
    sure = [score >= CONFIDENT for score in scores(runner)]
    assert {True, False} == set(sure)
    with OffloadClient(endpoint.url, runner, LONG_MS, "cascade", Options(upload="file")) as client:
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
def test_how_sure_is_sure_enough_can_be_said(endpoint: Endpoint, runner: Runner, confident: float, asked: int) -> None:
    with OffloadClient(endpoint.url, runner, LONG_MS, "cascade", Options(confident=confident)) as client:
        ready(client)
        answers = [client.classify(path) for path in PATHS[::25]]
    assert {answer.where for answer in answers} == {("device", "cloud")[asked]}
    assert client.totals.both == asked * len(answers)


def test_confident_is_as_it_was_in_the_other_modes(endpoint: Endpoint, runner: Runner) -> None:
    sure = max(PATHS[::10], key=lambda path: runner.classify(path).score)
    assert runner.classify(sure).score >= CONFIDENT
    with OffloadClient(endpoint.url, runner, LONG_MS, "hedge") as client:
        assert ready(client).classify(sure).where == "cloud"


def test_cascade_without_a_model_here_is_as_cloud(endpoint: Endpoint) -> None:
    with OffloadClient(endpoint.url, (), LONG_MS, "cascade", Options(upload="file")) as client:
        answer = ready(client).classify(PICTURE)
    assert (answer.where, answer.why) == ("cloud", "cloud only")


def test_cascade_sends_nothing_when_too_little_time_is_left(endpoint: Endpoint, runner: Runner) -> None:
    both = Direction(latency_ms=150)
    with Links() as links:
        url = f"http://127.0.0.1:{links.open(LinkSpec(('127.0.0.1', endpoint.port), both, both)).port}"
        with OffloadClient(url, runner, LONG_MS, "cascade", Options(confident=2)) as client:
            ready(client)
            # Which tells how far it is, and that this is no chance.
            assert {client.classify(PICTURE).where for _ in range(6)} == {"cloud"}
            answers = [client.classify(path, sla_ms=200) for path in PATHS[:10]]
    assert {answer.where for answer in answers} == {"device"}
    quiet = [answer for answer in answers if "tried all the same" not in answer.why]
    assert len(quiet) >= 8
    for answer in quiet:
        assert "device expected" in answer.why
        assert answer.sent_bytes == 0


class Slow(Runner):
    """Takes so much longer, each time. says_ms: by how much more it says that it did."""

    longer_s, says_ms = 0.0, 0.0

    def classify(self, image: ImageSource, top: int = 5) -> Answer:
        time.sleep(self.longer_s)
        answer = super().classify(image, top)
        return dataclasses.replace(answer, total_ms=answer.total_ms + self.longer_s * 1e3 + self.says_ms)


def test_cascade_asks_at_once_where_the_device_cannot_be_in_time(endpoint: Endpoint) -> None:
    slow = Slow(SMALL)
    slow.says_ms = 2 * LONG_MS
    with OffloadClient(endpoint.url, slow, LONG_MS, "cascade") as client:
        answer = ready(client).classify(PICTURE)
    assert (answer.where, answer.model) == ("cloud", BEST)
    assert "the cloud is not known yet" in answer.why or "cloud expected" in answer.why
    assert client.totals.both == 0  # the device would only have been late


def test_cascade_sends_nothing_after_the_deadline(endpoint: Endpoint) -> None:
    slow = Slow(SMALL)
    with OffloadClient(endpoint.url, slow, LONG_MS, "cascade", Options(confident=2)) as client:
        slow.longer_s = 0.6  # slower than it was when it was measured
        answer = ready(client).classify(PICTURE, sla_ms=500)
    assert (answer.where, answer.on_time, answer.sent_bytes) == ("device", False, 0)
    assert answer.why.endswith("; no time is left")


def test_cascade_trusts_a_device_again_that_was_slow_once(endpoint: Endpoint) -> None:
    slow = Slow(SMALL)
    with OffloadClient(endpoint.url, slow, LONG_MS, "cascade", Options(confident=1e-6)) as client:
        ready(client)
        slow.longer_s = 0.6
        assert client.classify(PICTURE, sla_ms=500).where == "device"
        # Once is enough but where the machine is so busy that the device was slow before, too.
        until(lambda: not client.classify(PICTURE, sla_ms=500).why.startswith("the device was confident"))
        slow.longer_s = 0.0
        until(lambda: client.classify(PICTURE, sla_ms=500).why.startswith("the device was confident"))


def test_cascade_asks_the_cloud_where_the_device_fails(endpoint: Endpoint) -> None:
    class Broken(Runner):
        broken = False

        def classify(self, image: ImageSource, top: int = 5) -> Answer:
            if self.broken:
                raise ModelError("the model is broken", "m")
            return super().classify(image, top)

    broken = Broken(SMALL)
    with OffloadClient(endpoint.url, broken, LONG_MS, "cascade", Options(upload="file")) as client:
        broken.broken = True
        answer = ready(client).classify(PICTURE)
    assert (answer.where, answer.why) == ("cloud", "the device failed: the model is broken")


# Without one


def test_a_picture_that_is_none(endpoint: Endpoint, runner: Runner, tmp_path: Path) -> None:
    text = tmp_path / "text.png"
    text.write_text("no picture")
    for mode in ("device", "hedge", "auto", "cascade"):
        with OffloadClient(endpoint.url, runner, LONG_MS, mode) as client:
            for bad in (text, b"no picture", tmp_path / "missing.png", tmp_path):
                with pytest.raises(ImageError):
                    client.classify(bad)
            assert client.classify(PICTURE).label
    with OffloadClient(endpoint.url, (), LONG_MS, "cloud") as client, pytest.raises((ImageError, OffloadError)):
        ready(client).classify(text)


# Rude ones


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
    with Endpoint(home, "--models", SMALL, "--workers", 1, "--tokens", tokens) as endpoint:
        with (
            caplog.at_level(logging.WARNING, "ondevice.client"),
            OffloadClient(endpoint.url, runner, LONG_MS, "hedge", Options(token="wrong")) as client,
        ):
            assert "401: give a valid token" in client.classify(PICTURE).why
            client.classify(PICTURE)
        assert sum("401" in record.getMessage() for record in caplog.records) == 1
        with OffloadClient(endpoint.url, runner, LONG_MS, "cloud", Options(token="right-and-long-enough")) as client:
            assert ready(client).classify(PICTURE).where == "cloud"
