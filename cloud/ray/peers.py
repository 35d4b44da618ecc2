"""What replicas learn, for those that start: an actor of Ray's keeps what was told last; no request waits for it."""

from __future__ import annotations

import contextlib
import json
import math
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import TYPE_CHECKING

from ondevice.cloud.backends.local.store import Peers
from ondevice.cloud.select.pressure import Pressure

if TYPE_CHECKING:
    from ray.actor import ActorHandle

# What was learned is told no more often: times change over tens of requests, and a replica takes longer to start.
_EVERY_S = 5.0
# Who starts waits no longer for what others know: it would have measured everything itself in that time.
_PATIENCE_S = 2.0
# Each replica that has learned something speaks every five seconds: an actor that hears nothing for so long has none.
_ALONE_S = 60.0
_PRICE = "price"
# The actor's own, whatever the one is that the replicas' driver has.
_NAMESPACE = "ondevice"


class SharedTexts:
    """The actor: by key, the text that was told last. over: called once nobody has spoken for a minute."""

    def __init__(self, over: Callable[[], object]) -> None:
        self._texts: dict[str, str] = {}
        self._over, self._heard = over, threading.Event()
        threading.Thread(target=self._watch, name="watch", daemon=True).start()

    def tell(self, new: Mapping[str, str], old: Mapping[str, str]) -> None:
        """Keep what is new, and of what is old what is not known: an actor that was there before may have ended."""
        self._heard.set()
        self._texts = {**old, **self._texts, **new}

    def known(self, key: str) -> str | None:
        """What was told last, if anything was."""
        return self._texts.get(key)

    def _watch(self) -> None:
        while self._heard.wait(_ALONE_S):
            self._heard.clear()
        self._over()


class RayPeers:
    """The other replicas of an application. tell_log: called with an event and its fields, where they are not reached.

    The actor is nobody's, so that it outlives whoever made it; it ends by itself after the last replica.
    """

    def __init__(self, application: str, tell_log: Callable[..., None]) -> None:
        self._name, self._tell_log = f"ondevice-learned-{application}", tell_log
        self._new: dict[str, str] = {}
        self._old: dict[str, str] = {}
        self._sent = -math.inf
        # What Ray does may take its time: the loop goes on meanwhile.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="peers")

    def known(self, key: str) -> str | None:
        """What one of them told last; None where none has, or it cannot be had soon."""
        try:
            return self._thread.submit(self._ask, key).result(_PATIENCE_S)
        except Exception as error:
            self._tell_log("replicas not asked", error=repr(error))
            return None

    def tell(self, key: str, text: str) -> None:
        """Let them know it the next time that they are told something. May be called in a thread."""
        self._new[key] = text

    def send(self) -> None:
        """Tell them what there is, unless they were told something lately; call it a few times a second."""
        now = monotonic()
        if now - self._sent < _EVERY_S or not (self._new or self._old):
            return
        new = {key: self._new.pop(key) for key in list(self._new)}
        with contextlib.suppress(RuntimeError):  # it is closed
            self._thread.submit(self._say, new, dict(self._old))
        self._sent = now
        self._old.update(new)

    def close(self) -> None:
        """Tell no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _say(self, new: Mapping[str, str], old: Mapping[str, str]) -> None:
        try:
            self._actor().tell.remote(new, old)
        except Exception as error:
            self._tell_log("replicas not told", error=repr(error))

    def _ask(self, key: str) -> str | None:
        import ray

        try:
            actor = ray.get_actor(self._name, _NAMESPACE)
        except ValueError:  # nobody has told anything yet
            return None
        text: str | None = ray.get(actor.known.remote(key), timeout=_PATIENCE_S)
        return text

    def _actor(self) -> ActorHandle:
        """Looked up each time: the one from before may have ended with its machine."""
        import ray

        options = {"name": self._name, "namespace": _NAMESPACE, "get_if_exists": True}
        # Detached, for Ray ends others with the first handle that is dropped. It takes no processor to speak of, and
        # all of them are the replicas'.
        return ray.remote(SharedTexts).options(**options, lifetime="detached", num_cpus=0).remote(end_this_actor)


class SharedPrice:
    """What a worker's time is worth to those that are refused (`pressure`), told to peers, and begun with."""

    def __init__(self, peers: Peers, pressure: Pressure) -> None:
        self._peers, self._pressure = peers, pressure
        self._told = self._text

    def begin(self) -> None:
        """Take what they know."""
        if text := self._peers.known(_PRICE):
            self._pressure.begin(math.inf if ms is None else ms for ms in json.loads(text))
            self._told = self._text

    def tell(self) -> None:
        """Let them know what has changed; call it a few times a second."""
        if (text := self._text) != self._told:
            self._told = text
            self._peers.tell(_PRICE, text)

    @property
    def _text(self) -> str:
        return json.dumps([None if math.isinf(ms) else ms for ms in self._pressure.recent_ms])


def end_this_actor() -> None:
    """End the actor in whose process this is called."""
    import ray

    ray.kill(ray.get_runtime_context().current_actor)
