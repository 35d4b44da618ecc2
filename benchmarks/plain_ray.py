"""A model in a deployment of Ray Serve as its pages have one, which `on_ray.py` compares with.

    python benchmarks/plain_ray.py MODEL REPLICAS

Prints its URL once it serves; ends with SIGTERM.
"""

from __future__ import annotations

import signal
import socket
import sys
import tempfile
from typing import Any

import ray
from ray import serve

from ondevice import Runner

# Ray takes no less for objects, of which there are none.
STORE_BYTES = 80 << 20


class Plain:
    """One replica."""

    def __init__(self, model: str) -> None:
        self._runner = Runner(model, threads=1)

    async def __call__(self, request: Any) -> dict[str, Any]:
        """The best class of the picture that is the body."""
        best = self._runner.classify(await request.body()).top[0]
        return {"index": best.index, "label": best.label, "score": float(best.score)}


def free_port() -> int:
    """One that nobody has now."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port


def main() -> None:
    """Serve until told to end."""
    model, replicas = sys.argv[1], int(sys.argv[2])
    port = free_port()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    with tempfile.TemporaryDirectory(prefix="p", dir="/tmp") as folder:
        ray.init(
            num_cpus=replicas,
            include_dashboard=False,
            log_to_driver=False,
            object_store_memory=STORE_BYTES,
            _temp_dir=folder,
        )
        try:
            quiet = {"enable_access_log": False}
            serve.start(http_options={"host": "127.0.0.1", "port": port}, logging_config=quiet)
            plain = serve.deployment(Plain, num_replicas=replicas, ray_actor_options={"num_cpus": 1})
            serve.run(plain.options(logging_config=quiet).bind(model), route_prefix="/classify")
            print(f"http://127.0.0.1:{port}/classify", flush=True)
            signal.pause()
        finally:
            ray.shutdown()


if __name__ == "__main__":
    main()
