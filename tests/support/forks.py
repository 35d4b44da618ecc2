"""`ondevice` in a process of its own, without what starting Python and importing numpy takes: half a second, each time.

A server that is started once has imported what commands need, and forks for each of them.
"""

from __future__ import annotations

import importlib
import json
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

_PATIENCE_S = 300.0
# What importing TensorFlow leaves in a process's environment: nothing that a command reads.
_TENSORFLOW = ("TF_", "TF2_", "TPU_ML_", "KMP_", "HDF5_", "ENABLE_RUNTIME_UPTIME_")
# What a command may find changed; where anything else is, it may be read as Python starts, and so Python starts.
_HARMLESS = ("ONDEVICE_", "PYTEST_CURRENT_TEST", *_TENSORFLOW)


class Forks:
    """Runs commands, one at a time. To be closed."""

    def __init__(self) -> None:
        self._environment = dict(os.environ)
        ours, theirs = socket.socketpair()
        ours.settimeout(_PATIENCE_S)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=self._environment | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._asked, self._said = ours, ours.makefile("rw")

    def close(self) -> None:
        self._said.close()
        self._asked.close()
        self._process.wait(_PATIENCE_S)

    def run(
        self, arguments: list[str], stdin: bytes, environment: Mapping[str, str]
    ) -> subprocess.CompletedProcess[bytes]:
        """What came of `ondevice ARGUMENTS` in the working directory of now."""
        if not self.forks(environment):
            command = [sys.executable, "-m", "ondevice", *arguments]
            return subprocess.run(
                command, input=stdin, capture_output=True, timeout=_PATIENCE_S, check=False, env=environment
            )
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "0").write_bytes(stdin)
            wanted = {"arguments": arguments, "environment": {**environment}, "cwd": str(Path.cwd()), "folder": name}
            print(json.dumps(wanted), file=self._said, flush=True)
            status = int(self._said.readline())
            return subprocess.CompletedProcess(
                arguments, status, (folder / "1").read_bytes(), (folder / "2").read_bytes()
            )

    def forks(self, environment: Mapping[str, str]) -> bool:
        """Whether a command in this environment is forked; else Python is started for it."""
        if sys.platform != "linux":  # elsewhere libraries may not survive a fork
            return False
        changed = {*environment.items()} ^ {*self._environment.items()}
        return all(name.startswith(_HARMLESS) for name, _ in changed)


def _serve(descriptor: int) -> None:
    from ondevice import extras
    from ondevice.cli import program

    endpoint = () if extras.missing("serve") else ("ondevice.cloud.endpoint", "ondevice.cloud.server")
    lab = ("ondevice.lab.simulate.grid", "ondevice.lab.simulate.curves", "ondevice.bench.measure")
    needed = ("ondevice.runner", "ondevice.client.offload", *lab, *endpoint)
    for module in (*(f"ondevice.cli.{name}" for name in program.COMMANDS), *needed):
        importlib.import_module(module)
    with socket.socket(fileno=descriptor) as asked, asked.makefile("rw") as said:
        for line in said:
            child = os.fork()
            if child == 0:
                _become(json.loads(line))
            _, status = os.waitpid(child, 0)
            print(os.waitstatus_to_exitcode(status), file=said, flush=True)


def _become(wanted: dict[str, Any]) -> None:
    """Be the command; this does not return."""
    from ondevice import cli

    os.chdir(wanted["cwd"])
    os.environ.clear()
    os.environ.update(wanted["environment"])
    for number, flags in enumerate((os.O_RDONLY, *(2 * (os.O_WRONLY | os.O_CREAT,)))):
        os.dup2(os.open(Path(wanted["folder"], str(number)), flags, 0o600), number)
    sys.argv = ["ondevice", *wanted["arguments"]]
    try:
        cli.main()
    except BaseException:
        sys.excepthook(*sys.exc_info())  # as Python does at its end
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


if __name__ == "__main__":
    _serve(int(sys.argv[1]))
