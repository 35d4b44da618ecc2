"""What a library would cost in place of what is written here: the figures of CONTRIBUTING's table.

    python benchmarks/alternatives.py [--only packages,sources,records,tables,client,link,process] [--rounds 7]

Libraries are installed into a temporary folder, never into this environment; that needs pip and its index.
Times of imports and of reading are CPU time, the least of all rounds; those of requests are medians, all in turn.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import os
import re
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from importlib import metadata
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

from ondevice.cli import console
from ondevice.client.connection.address import ServerAddress
from ondevice.client.connection.http import HttpStream
from ondevice.client.connection.messages import HttpRequest

HERE = Path(__file__).resolve()
# Beside x86_64: 64-bit Raspberry Pi OS, 32-bit Raspberry Pi OS, macOS on Apple silicon, Android, as pip calls them.
PLATFORMS = {
    "aarch64": ("manylinux2014_aarch64", "manylinux_2_28_aarch64"),
    "armv7l": ("manylinux2014_armv7l", "manylinux_2_31_armv7l", "linux_armv7l"),
    "macOS": ("macosx_11_0_arm64", "macosx_14_0_arm64"),
    "Android": ("android_24_arm64_v8a", "android_21_arm64_v8a"),
}
# A phone's photo as the client sends it, in bytes.
SENT = 30_000
# Requests that one side sends before the next has its turn: enough for a median, few enough that all share the noise.
BLOCK = 100


class Package(NamedTuple):
    """A library that could be used: in place of what, its name on the index, and what is imported of it."""

    instead_of: str
    name: str
    imports: str


PACKAGES = (
    Package("ondevice/records.py", "dacite", "dacite"),
    Package("ondevice/records.py", "cattrs", "cattrs"),
    Package("ondevice/records.py", "mashumaro", "mashumaro.codecs"),
    Package("ondevice/records.py", "msgspec", "msgspec"),
    Package("ondevice/records.py", "pydantic", "pydantic; pydantic.TypeAdapter(int)"),
    Package("ondevice/cli/console.py", "rich", "rich.console, rich.table"),
    Package("ondevice/cli/console.py", "tabulate", "tabulate"),
    Package("client/connection/", "urllib3", "urllib3"),
    Package("client/connection/", "httpx", "httpx"),
    Package("cloud/http/", "aiohttp", "aiohttp.web"),
    Package("cloud/http/", "uvicorn", "uvicorn"),
    Package("ondevice/resilience/breaker.py", "pybreaker", "pybreaker"),
    Package("ondevice/limits/cgroup.py", "cgroupspy", "cgroupspy.trees"),
    Package("ondevice/host/", "psutil", "psutil"),
    Package("models/metadata.py", "tflite-support", "tflite_support.metadata"),
    Package("models/metadata.py", "tflite", "tflite"),
    Package("models/flatbuffer.py", "flatbuffers", "flatbuffers.table"),
    Package("models/pull.py, models/files.py", "pooch", "pooch"),
    Package("ondevice/protocol/, cloud/backends/upstream/oip_client.py", "tritonclient[http]", "tritonclient.http"),
    Package("selection/cdf.py, ondevice/timing/", "scipy", "scipy.stats"),
)


def main() -> None:
    """Run the parts that are asked for and print their tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", default=",".join(PARTS), help=f"of {','.join(PARTS)}")
    parser.add_argument("--rounds", type=int, default=7)
    arguments = parser.parse_args()
    for part in arguments.only.split(","):
        print(f"{part}: {PARTS[part].__doc__}")
        rows = []
        for row in PARTS[part](arguments.rounds):
            print(f"  {', '.join(map(str, row.values()))}", file=sys.stderr, flush=True)
            rows.append(row)
        print(console.markdown(rows, ".2f") + "\n", flush=True)


# --- What a library weighs


def packages(rounds: int) -> Iterator[dict[str, Any]]:
    """Installed size with what it needs, native modules, platforms without a wheel, CPU ms of importing it."""
    for package in PACKAGES:
        row = {"instead of": package.instead_of, "library": package.name}
        with installed(package.name) as folder:
            if folder is None:
                yield {**row, "kB": None, "native": "", "no wheel for": "this Python", "import_ms": None}
                continue
            files = [path for path in folder.rglob("*") if path.is_file() and path.suffix != ".pyc"]
            native = _native(folder)
            yield {
                **row,
                "kB": round(sum(path.stat().st_size for path in files) / 1e3),
                "native": ", ".join(sorted(native)),
                "no wheel for": ", ".join(p for p in PLATFORMS if not all(_wheel(one, p) for one in native)),
                "import_ms": importing(package.imports, folder, rounds),
            }


def _native(folder: Path) -> set[str]:
    """The native distributions in a folder, name==version, but for numpy, which the core needs anyway."""
    found = [d for d in metadata.distributions(path=[str(folder)]) if d.name != "numpy"]
    return {f"{d.name}=={d.version}" for d in found if any(".so" in file.suffixes for file in d.files or ())}


@contextmanager
def installed(*names: str) -> Iterator[Path | None]:
    """A folder with these packages and what they need; None where they cannot be installed."""
    with tempfile.TemporaryDirectory() as folder:
        done = _pip("install", "--target", folder, *names)
        yield Path(folder) if done else None


def _wheel(requirement: str, platform: str) -> bool:
    """Whether the version that is installed here has a wheel there; an older one would not do."""
    options = [option for tag in PLATFORMS[platform] for option in ("--platform", tag)]
    if platform == "Android":  # the first Python that says it runs there
        options += ["--python-version", "3.13"]
    with tempfile.TemporaryDirectory() as folder:
        return _pip("download", "--no-deps", "--only-binary=:all:", "--dest", folder, *options, requirement)


def _pip(*arguments: str) -> bool:
    command = [sys.executable, "-m", "pip", "-q", *arguments]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def importing(names: str, folder: Path, rounds: int) -> float | None:
    """CPU ms of an import over what the runner has imported already; None where it fails."""
    code = f"import ondevice.runner, ondevice.models.zoo\nfrom time import process_time as t\na = t()\nimport {names}\n"
    try:
        return _least(code + "print((t() - a) * 1e3)", folder, rounds)
    except subprocess.CalledProcessError:
        return None


def _least(code: str, folder: Path | None, rounds: int) -> float:
    environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    paths = [str(HERE.parents[1]), *([str(folder)] if folder else [])]
    environment |= {
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONPYCACHEPREFIX": str(Path(tempfile.gettempdir()) / "pyc"),
    }
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.run(command, capture_output=True, text=True, check=True, env=environment) for _ in range(rounds + 1)
    ]
    return min(float(run.stdout) for run in runs[1:])  # the first compiles


class Lack(NamedTuple):
    """What a library would have to know for us, as a pattern that its source would hold, and in words."""

    library: str
    pattern: str
    words: str


LACKS = (
    Lack("pybreaker", r"monotonic|perf_counter", "a clock that does not jump"),
    Lack("pybreaker", r"backoff|exponential|\*\s*2", "longer pauses each time"),
    Lack("circuitbreaker", r"backoff|exponential|\*\s*2", "longer pauses each time"),
    Lack("cgroupspy", r"subtree_control|cgroup\.type|cgroup2", "control groups v2"),
    Lack("tflite", r"\bProcessUnit\b|\bNormalizationOptions\b", "TFLite Metadata"),
)


def sources(rounds: int) -> Iterator[dict[str, Any]]:
    """How many lines of a library's own source name what it would have to know."""
    for lack in LACKS:
        with tempfile.TemporaryDirectory() as folder:
            _pip("install", "--no-deps", "--target", folder, lack.library)
            texts = [path.read_text(errors="replace") for path in Path(folder).rglob("*.py")]
            found = sum(bool(re.search(lack.pattern, line)) for text in texts for line in text.splitlines())
            yield {"library": lack.library, "would have to know": lack.words, "files": len(texts), "lines": found}


# --- Records and tables, each in processes of its own

_READ = """
import tomllib, sys
from pathlib import Path
from time import process_time as t
import ondevice.runner
from ondevice.models.card import Card
tables = [tomllib.loads(p.read_text()) for p in sorted(Path({models!r}).glob("*/*.toml"))]
a = t()
{make}
for table in tables: read(table)
print((t() - a) * 1e3)
"""
READERS = {
    "ondevice/records.py": ("", "from ondevice import records\nread = lambda v: records.read(Card, v)"),
    "dacite": ("dacite", "import dacite\nc = dacite.Config(strict=True, cast=[tuple])\n"
               "read = lambda v: dacite.from_dict(Card, v, c)"),
    "cattrs": ("cattrs", "import cattrs\nc = cattrs.Converter(forbid_extra_keys=True)\n"
               "read = lambda v: c.structure(v, Card)"),
    "mashumaro": ("mashumaro", "from mashumaro.codecs import BasicDecoder\nread = BasicDecoder(Card).decode"),
    "msgspec": ("msgspec", "import msgspec\nread = lambda v: msgspec.convert(v, Card)"),
    "pydantic": ("pydantic", "from pydantic import TypeAdapter\nread = TypeAdapter(Card).validate_python"),
}  # fmt: skip


def records(rounds: int) -> Iterator[dict[str, Any]]:
    """CPU ms for importing a reader and reading the bundled cards with it; and a `true` where a number belongs."""
    wrong = (
        "\ntables[0]['size_bytes'] = True\ntry: read(tables[0])\nexcept Exception: print('refused')\nelse: print('no')"
    )
    for name, (package, make) in READERS.items():
        with installed(package) if package else nullcontext() as folder:
            code = _READ.format(models=str(HERE.parents[1] / "models"), make=make)
            said = subprocess.run(
                [sys.executable, "-c", code + wrong], capture_output=True, text=True, check=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parents[1]), str(folder or "")])},
            ).stdout.split()[-1]  # fmt: skip
            yield {
                "reader": name,
                "cpu_ms": _least(code, folder, rounds),
                "refuses true for a number": "yes" if said == "refused" else "no",
            }


_TABLE = """
from time import process_time as t
rows = [{{"model": f"m{{i}}", "p50_ms": i / 7, "verdict": "VALID"}} for i in range(20)]
import ondevice.cli, ondevice.runner
a = t()
{make}
print((t() - a) * 1e3)
"""
PRINTERS = {
    "ondevice/cli/console.py": ("", "from ondevice.cli import console\ns = console.table(rows)"),
    "rich": ("rich", "import rich.console, rich.table, io\nx = rich.table.Table()\n[x.add_column(k) for k in rows[0]]\n"
             "[x.add_row(*map(str, r.values())) for r in rows]\nrich.console.Console(file=io.StringIO()).print(x)"),
    "tabulate": ("tabulate", "import tabulate\ns = tabulate.tabulate(rows, headers='keys')"),
}  # fmt: skip


def tables(rounds: int) -> Iterator[dict[str, Any]]:
    """CPU ms for importing a printer of tables and printing one of 20 rows."""
    for name, (package, make) in PRINTERS.items():
        with installed(package) if package else nullcontext() as folder:
            yield {"printer": name, "cpu_ms": _least(_TABLE.format(make=make), folder, rounds)}


# --- Requests, ours and others' in turn against one server


def client(rounds: int) -> Iterator[dict[str, Any]]:
    """Wall and CPU ms of a request with a picture on an open connection, against a server that only answers."""
    picture = bytes(SENT)
    with installed("httpx", "urllib3", "requests") as folder, server_process("plain") as (port, _):
        assert folder is not None
        sys.path.insert(0, str(folder))
        asks = dict(_clients(port, picture))
        yield from _in_turn(asks, rounds)


def _clients(port: int, picture: bytes) -> Iterator[tuple[str, Callable[[], object]]]:
    import httpx
    import requests
    import urllib3

    url, headers = f"http://127.0.0.1:{port}/v2/models/m/infer", {"Content-Type": "image/jpeg"}
    loop = asyncio.new_event_loop()
    address = ServerAddress.parse(f"http://127.0.0.1:{port}")
    ours = loop.run_until_complete(HttpStream.open(address, None, None, perf_counter() + 10))
    asked = HttpRequest("POST", "/v2/models/m/infer", headers, picture)
    yield "client/connection/", lambda: loop.run_until_complete(ours.ask(asked, perf_counter() + 10))
    plain = http.client.HTTPConnection("127.0.0.1", port)
    yield "http.client", lambda: (plain.request("POST", url, picture, headers), plain.getresponse().read())
    pool = urllib3.PoolManager()
    yield "urllib3", lambda: pool.request("POST", url, body=picture, headers=headers)
    session = requests.Session()
    yield "requests", lambda: session.post(url, data=picture, headers=headers)
    other = httpx.Client()
    yield "httpx", lambda: other.post(url, content=picture, headers=headers)


def _in_turn(asks: dict[str, Callable[[], object]], rounds: int) -> Iterator[dict[str, Any]]:
    from time import process_time

    walls: dict[str, list[float]] = {name: [] for name in asks}
    cpus: dict[str, list[float]] = {name: [] for name in asks}
    for round_ in range(rounds):
        for name, ask in list(asks.items())[:: 1 if round_ % 2 else -1]:
            cpu, times = process_time(), []
            for _ in range(BLOCK):
                start = perf_counter()
                ask()
                times.append(perf_counter() - start)
            walls[name].append(statistics.median(times) * 1e3)
            cpus[name].append((process_time() - cpu) / BLOCK * 1e3)
    for name in asks:
        yield {"": name, "wall_ms": statistics.median(walls[name]), "cpu_ms": statistics.median(cpus[name])}


@contextmanager
def server_process(kind: str, environment: dict[str, str] | None = None) -> Iterator[tuple[int, int]]:
    """One of `bare_servers.py`: its port, and its process's number."""
    process = subprocess.Popen(
        [sys.executable, str(HERE.with_name("bare_servers.py")), kind], stdout=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[1]), **(environment or {})},
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline()), process.pid
    finally:
        process.kill()
        process.wait()


def link(rounds: int) -> Iterator[dict[str, Any]]:
    """The kernel's own emulator, asked for by a user without rights."""
    command = ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "50ms"]
    user = "nobody" if os.geteuid() == 0 else None
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, user=user)
        said = f"{done.returncode}: {done.stderr.strip()}"
    except FileNotFoundError:
        said = "not installed"
    yield {"command": " ".join(command), "exit status and message": said}


_SPAWN = """import multiprocessing
if __name__ == "__main__":
    process = multiprocessing.get_context("spawn").Process(target=print)
    process.start()
    process.join()
"""
_CHILD = """from ondevice.models import zoo
from ondevice.process import child
with child.start("ondevice.trial", str(zoo.find("digits_xs_int8").path), "litert") as process:
    process.death()
"""


def process(rounds: int) -> Iterator[dict[str, Any]]:
    """Whether a child that is begun in a folder with a stranger's select.py imports that."""
    for name, text in (("ondevice/process/", _CHILD), ("multiprocessing, spawn", _SPAWN)):
        with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as elsewhere:
            Path(folder, "select.py").write_text("open('imported', 'w').close()\n")
            script = Path(elsewhere, "script.py")
            script.write_text(text)
            environment = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
            subprocess.run([sys.executable, script], cwd=folder, env=environment, capture_output=True, check=False)
            imported = Path(folder, "imported").exists()
            yield {"started by": name, "the stranger's select.py": "imported" if imported else "not imported"}


PARTS: dict[str, Callable[[int], Iterator[dict[str, Any]]]] = {
    part.__name__: part for part in (packages, sources, records, tables, client, link, process)
}

if __name__ == "__main__":
    main()
