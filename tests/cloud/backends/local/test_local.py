"""The backend in worker processes: what it answers, what fails, and what is learned."""

from __future__ import annotations

import asyncio
from pathlib import Path
from time import perf_counter

import numpy as np
import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from clock import Clock
from events import Events
from faulty import copied, nonsense
from local_backend import LARGE, MIDDLE, SMALL, Undecided, picture, run, ticked, with_local
from serving import FAMILY

from ondevice.cloud.backends.local import local as backend
from ondevice.cloud.backends.local.local import Local
from ondevice.cloud.backends.states import ModelState
from ondevice.cloud.backends.workers.pool import Pool
from ondevice.cloud.backends.workers.supervisor import Workers
from ondevice.errors import (
    ImageError,
    ModelError,
    ModelFaultError,
    ModelLoadError,
    OnDeviceError,
    UsageError,
    WorkerDiedError,
)
from ondevice.protocol.served import Work


def test_every_model_is_described_and_timed_at_the_start() -> None:
    async def body(local: Local, events: Events) -> None:
        assert [served.name for served in local.models] == list(FAMILY)
        assert [served.top1 is not None for served in local.models] == [True] * 4
        assert local.models[2].input.shape == (1, 48, 48, 1)
        fastest_ms = local.times.table.quantiles_ms[:, 0]  # whatever else the machine does, some run was not held up
        assert 0 < fastest_ms[0] < fastest_ms[3]
        assert all(local.times.profile(name).n > 3 for name in FAMILY)
        assert not local.times.loading_ms().any()  # all are loaded
        assert local.ready()
        assert not local.queue.saturated

    with_local(body)


def test_results_say_what_took_how_long() -> None:
    async def body(local: Local, events: Events) -> None:
        before = local.times.profile(MIDDLE).n
        result = await run(local, MIDDLE)
        assert (result.model, result.top[0][0], len(result.top)) == (MIDDLE, 7, 3)
        assert min(result.queue_ms, result.decode_ms, result.infer_ms) > 0
        assert local.times.profile(MIDDLE).n == before + 1
        with pytest.raises(ImageError, match="is not a picture"):
            await run(local, MIDDLE, picture(b"x"))
        assert local.times.profile(MIDDLE).n == before + 1

    with_local(body, MIDDLE)


def test_what_was_done_with_a_request_before_is_no_overhead_of_this_machine() -> None:
    async def body(local: Local, events: Events) -> None:
        await run(local, SMALL, picture()._replace(received=-1e9))  # another server had stalled over it
        assert local.times.way_ms < 1e6

    with_local(body, SMALL)


def test_a_choice_is_made_again_when_its_turn_comes() -> None:
    async def body(local: Local, events: Events) -> None:
        first = asyncio.ensure_future(run(local, LARGE))
        await asyncio.sleep(0)
        assert local.queue.saturated
        second = await local.run(Undecided(LARGE, picture()))
        assert ((await first).model, second.model) == (LARGE, SMALL)
        assert second.queue_ms > 0

    with_local(body)


def test_what_a_client_has_left_is_learned_from_once_it_has_begun() -> None:
    async def body(local: Local, events: Events) -> None:
        begun, queued = (asyncio.ensure_future(run(local, LARGE)) for _ in range(2))
        queued_too = asyncio.ensure_future(run(local, MIDDLE))
        await asyncio.sleep(0)
        before = {model: local.times.profile(model).n for model in (LARGE, MIDDLE)}
        for task in (begun, queued, queued_too):
            task.cancel()
        await ticked(local, lambda: local.times.profile(LARGE).n > before[LARGE] and not local.queue.saturated)
        assert local.times.profile(MIDDLE).n == before[MIDDLE]
        assert all(task.cancelled() for task in (begun, queued, queued_too))

    with_local(body)


def test_room_is_the_workers_that_nobody_needs() -> None:
    async def body(local: Local, events: Events) -> None:
        assert local.queue.room == 2
        tasks = []
        for room in (1, 0, 0, 0, 0, 0):
            tasks.append(asyncio.ensure_future(run(local, LARGE)))
            await asyncio.sleep(0)
            if local.queue.room != room:  # then the first has ended already, on a quick machine
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=1)
                assert any(task.done() for task in tasks)
        await asyncio.gather(*tasks)
        assert local.queue.room == 2

    with_local(body, workers=2)


def test_two_models_of_one_name_are_refused() -> None:
    async def body(local: Local, events: Events) -> None: ...

    with pytest.raises(UsageError, match=rf"two models are called {SMALL} \({SMALL}, {SMALL}\): .*--name NAME`$"):
        with_local(body, SMALL, SMALL)


def test_a_start_that_fails_keeps_what_was_learned_before(tmp_path: Path) -> None:
    async def body(local: Local, events: Events) -> None: ...

    profiles = tmp_path / "profiles.json"
    with_local(body, SMALL, profiles=profiles)
    known = profiles.read_bytes()
    with pytest.raises(UsageError):
        with_local(body, SMALL, SMALL, profiles=profiles)
    assert profiles.read_bytes() == known


def test_an_unloaded_model_leaves_the_workers_and_comes_back() -> None:
    async def body(local: Local, events: Events) -> None:
        local.unload(MIDDLE)
        assert (local.available(MIDDLE), local.available(LARGE)) == (False, True)
        assert local.times.loading_ms().tolist()[2] > 0
        await local.load(MIDDLE)
        assert local.available(MIDDLE)
        assert not local.times.loading_ms().any()
        assert (events.models("unloaded"), events.models("loaded")) == ([MIDDLE], [MIDDLE])
        assert (await run(local, MIDDLE)).load_ms == 0

    with_local(body, workers=2)


def test_unloading_while_it_runs_and_while_others_wait() -> None:
    """What runs is answered, what waits is not; the workers live on, and the model stays away."""

    async def body(local: Local, events: Events) -> None:
        running, *_, waiting = [asyncio.ensure_future(run(local, LARGE)) for _ in range(4)]
        await asyncio.sleep(0)
        local.unload(LARGE)
        assert (await running).top[0][0] == 7
        with pytest.raises(ModelError, match="was unloaded while a request for it waited"):
            await waiting
        local.learner.models[3].used_at = 0.0  # so that it would be timed again, were it there
        await asyncio.sleep(0.01)
        for _ in range(5):
            local.tick()
            await asyncio.sleep(0.02)
        assert (await run(local, SMALL)).top
        assert local.times.loading_ms().tolist()[3] > 0
        assert events.named("worker died") == []

    with_local(body)


# What fails


def test_what_cannot_be_loaded_any_more_is_not_asked_for_and_is_loaded_again_when_it_can(tmp_path: Path) -> None:
    path = copied(tmp_path, MIDDLE)
    content = path.read_bytes()

    async def body(local: Local, events: Events) -> None:
        path.unlink()
        local.pool.crew.workers[0].process.kill()
        while local.available(MIDDLE):
            await asyncio.sleep(0.02)
        assert (local.state(MIDDLE), local.state(SMALL)) == (ModelState.FAILING, ModelState.AVAILABLE)
        assert MIDDLE not in local.memory.residency.resident
        assert local.ready()
        path.write_bytes(content)
        await ticked(local, lambda: local.available(MIDDLE) and not local.times.loading_ms().any())
        assert (await run(local, MIDDLE)).load_ms == 0
        assert (events.models("model failing"), events.models("model available")) == ([MIDDLE], [MIDDLE])

    with_local(body, SMALL, str(path), workers=2)


def test_numbers_that_a_client_brought_about_do_not_speak_against_a_model(tmp_path: Path) -> None:
    async def body(local: Local, events: Events) -> None:
        tensor = Work(np.zeros((1, 48, 48, 1), np.float32).tobytes(), False, 1, False, perf_counter())
        for _ in range(5):
            with pytest.raises(ModelFaultError, match="not numbers") as caught:
                await run(local, "nonsense", tensor)
            assert caught.value.model == "nonsense"
        assert local.available("nonsense")
        for _ in range(3):
            assert local.available("nonsense")
            with pytest.raises(ModelFaultError):
                await run(local, "nonsense")
        assert local.state("nonsense") is ModelState.FAILING

    with_local(body, str(nonsense(tmp_path)))


def test_what_fails_speaks_against_a_model_though_its_clients_are_gone(tmp_path: Path) -> None:
    async def body(local: Local, events: Events) -> None:
        for _ in range(3):
            assert local.available("nonsense")
            task = asyncio.ensure_future(run(local, "nonsense"))
            await asyncio.sleep(0)
            task.cancel()
            while local.pool.crew.busy:
                await asyncio.sleep(0.01)
        assert local.state("nonsense") is ModelState.FAILING
        assert events.models("model failing") == ["nonsense"]

    with_local(body, str(nonsense(tmp_path)))


def test_without_a_worker_or_a_model_it_is_not_ready() -> None:
    async def body(local: Local, events: Events) -> None:
        local.unload(SMALL)
        assert not local.ready()
        assert local.state(SMALL) is ModelState.GONE
        await local.load(SMALL)
        assert local.ready()
        local.pool.crew.workers[0].process.kill()
        while local.ready():
            await asyncio.sleep(0.01)
        while not local.ready():
            await asyncio.sleep(0.01)
        assert (await run(local, SMALL)).top

    with_local(body, SMALL)


def test_it_cannot_start_without_a_worker() -> None:
    async def body() -> None:
        pool = Pool(Workers(1), Events())
        await pool.start()
        pool.crew.workers[0].process.kill()
        try:
            with pytest.raises(WorkerDiedError, match="start again"):
                await Local([SMALL], pool, None, None, Events()).start()
        finally:
            pool.close()
            await asyncio.sleep(0)

    asyncio.run(body())


def test_a_worker_that_is_ending_tries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(backend, "monotonic", clock)

    async def body(local: Local, events: Events) -> None:
        local.health.failed(SMALL, ModelLoadError("no such file", SMALL))
        clock.now_s += 10.0
        local.pool.crew.workers[0].process.kill()
        local.tick()
        assert local.state(SMALL) is ModelState.FAILING
        await ticked(local, lambda: local.available(SMALL))

    with_local(body, SMALL)


# What is learned


def test_what_was_learned_is_saved_and_taken_up_again(tmp_path: Path) -> None:
    file = tmp_path / "profiles.json"
    learned: list[int] = []

    async def first(local: Local, events: Events) -> None:
        for _ in range(40):
            await run(local, SMALL)
        learned.append(local.times.profile(SMALL).n)
        await ticked(local, file.exists)

    async def second(local: Local, events: Events) -> None:
        assert local.times.profile(SMALL).n >= learned[0]
        assert events.named("profiles not read") == []

    with_local(first, SMALL, MIDDLE, profiles=file)
    with_local(second, SMALL, profiles=file)


def test_a_model_that_is_not_used_is_timed_again() -> None:
    async def body(local: Local, events: Events) -> None:
        local.learner.models[0].used_at = 0.0
        version = local.times.table.version
        await ticked(local, lambda: local.times.table.version > version)
        assert local.learner.models[0].used_at > 0

    with_local(body, SMALL)


# Its end


def test_work_of_a_closed_backend_fails_cleanly() -> None:
    async def body(local: Local, events: Events) -> None:
        jobs = [asyncio.ensure_future(run(local, LARGE)) for _ in range(4)]
        await asyncio.sleep(0)
        local.pool.close()
        outcomes = await asyncio.gather(*jobs, return_exceptions=True)
        assert all(isinstance(outcome, OnDeviceError) for outcome in outcomes)
        assert not events.named("worker died")

    with_local(body)
