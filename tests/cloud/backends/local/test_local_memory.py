"""The backend in worker processes under a memory budget."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from events import Events
from faulty import copied
from local_backend import LARGE, MIDDLE, SMALL, run, ticked, with_local
from serving import FAMILY, Endpoint, until

from ondevice.cloud.backends.local.local import Local
from ondevice.errors import ModelError, ModelLoadError, UsageError
from ondevice.protocol.picture import PictureHead


@functools.cache
def sizes() -> dict[str, int]:
    found: dict[str, int] = {}

    async def body(local: Local, events: Events) -> None:
        found.update(local.memory.residency.sizes)

    with_local(body)
    return found


def test_sizes_are_the_models_own() -> None:
    """The runtime's own memory, tens of megabytes, is not counted as the first model's."""
    found = sizes()
    assert max(found.values()) == found[LARGE]
    assert found[SMALL] < 1_000_000


def test_a_budget_keeps_the_fastest_and_the_most_accurate_and_swaps_on_demand() -> None:
    taken = sizes()
    budget = taken[SMALL] + taken[LARGE] + taken[MIDDLE] // 2

    async def body(local: Local, events: Events) -> None:
        assert local.memory.residency.resident == {SMALL, LARGE}
        cold_ms = local.times.loading_ms()
        assert (cold_ms > 0).tolist() == [False, True, False]
        assert local.times.work_ms(PictureHead.guessed(1000))[1] >= cold_ms[1]
        assert (await run(local, MIDDLE)).load_ms > 0
        assert local.memory.residency.resident == {SMALL, MIDDLE}
        assert (await run(local, MIDDLE)).load_ms == 0
        assert (await run(local, LARGE)).load_ms > 0
        assert events.models("unloaded") == [LARGE, MIDDLE]
        assert events.models("loaded") == [MIDDLE, LARGE]
        assert local.memory.residency.used_bytes <= budget

    with_local(body, SMALL, MIDDLE, LARGE, budget=budget)


def test_what_is_wanted_is_loaded_while_nobody_waits() -> None:
    taken = sizes()
    budget = taken[SMALL] + taken[LARGE] + taken[MIDDLE] // 2

    async def body(local: Local, events: Events) -> None:
        for _ in range(20):
            local.record_demand(MIDDLE)
        await ticked(local, lambda: not local.times.loading_ms()[1])
        assert local.memory.residency.resident == {SMALL, MIDDLE}
        assert events.models("unloaded") == [LARGE]
        assert (await run(local, MIDDLE)).load_ms == 0

    with_local(body, SMALL, MIDDLE, LARGE, budget=budget)


def test_a_model_that_never_fits_is_not_offered() -> None:
    budget = sizes()[LARGE] // 2

    async def body(local: Local, events: Events) -> None:
        assert [local.available(name) for name in FAMILY] == [True, True, True, False]
        assert events.models("over memory budget") == [LARGE]
        with pytest.raises(ModelError, match="does not fit into the memory budget"):
            await local.load(LARGE)
        assert not local.available(LARGE)
        for _ in range(50):
            local.record_demand(LARGE)
        local.tick()
        assert LARGE not in local.memory.residency.resident

    with_local(body, budget=budget)


def test_a_budget_for_none_is_refused() -> None:
    async def body(local: Local, events: Events) -> None: ...

    with pytest.raises(UsageError, match=f"{SMALL} takes .* bytes in 1 workers, over --memory-budget"):
        with_local(body, budget=1000)


def test_a_trial_of_what_failed_pushes_nothing_out_of_a_full_memory(tmp_path: Path) -> None:
    path, taken = copied(tmp_path, MIDDLE), sizes()
    content = path.read_bytes()

    async def body(local: Local, events: Events) -> None:
        path.unlink()
        with pytest.raises(ModelLoadError):
            await run(local, MIDDLE)  # for it the large one goes
        await ticked(local, lambda: LARGE in local.memory.residency.resident)  # there is room again
        path.write_bytes(content)
        await ticked(local, lambda: local.available(MIDDLE))
        assert local.memory.residency.resident == {SMALL, LARGE}
        assert (await run(local, MIDDLE)).load_ms > 0

    with_local(body, SMALL, str(path), LARGE, budget=taken[SMALL] + taken[LARGE] + taken[MIDDLE] // 2)


def test_loads_and_unloads_are_seen_in_the_log_and_no_choice_fails(tmp_path: Path) -> None:
    taken = sizes()
    budget = 2 * (taken[SMALL] + taken[LARGE] + taken[MIDDLE] // 2)
    with Endpoint(tmp_path, "--models", f"{SMALL},{MIDDLE},{LARGE}", "--memory-budget", budget) as running:
        assert running.classify(MIDDLE).status_code == 200
        until(lambda: [line["model"] for line in running.log("unloaded")] == [LARGE])
        until(lambda: {line["model"] for line in running.log("loaded")} == {MIDDLE})
        for sla_ms in (3, 30, 3000):
            assert [running.classify(sla_ms=sla_ms).status_code for _ in range(5)] == [200] * 5
