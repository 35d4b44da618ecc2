"""`ondevice serve` with what it cannot serve: each is one line."""

from __future__ import annotations

import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("httptools", reason="needs the extra: pip install 'ondevice-cnn[serve]'")

from refusals import one_line
from serving import FAMILY

from ondevice.cli.serve import ModelFlags

Cli = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--host", "0.0.0.0"], "--host 0.0.0.0 lets others in: give --tokens FILE, or --open"),
        (["--tls-cert", "c.pem"], "--tls-cert and --tls-key belong together"),
        (["--tls-cert", "c.pem", "--tls-key", "k.pem"], "no such file"),
        (["--tokens", "none"], "--tokens none: cannot be read"),
        (["--tokens", "."], "--tokens .: cannot be read"),
        (["--sla", "nan"], "the deadline must be from 0.001 to 3.6e+06 ms, not nan"),
        (["--sla", "0"], "the deadline must be from"),
        (["--policy", "mdinferense"], "no policy 'mdinferense'; did you mean mdinference"),
        (["--policy", "mdinference:gamma=x"], "gamma must be a number"),
        (["--max-body", "much"], "--max-body 'much' is not a size"),
        (["--memory-budget", "much"], "--memory-budget 'much' is not a size"),
        (["--models", " , "], "no model to serve"),
        (["--models", "m\udcff.tflite"], "its name is not text: `ondevice models add FILE --name m_` gives it another"),
        (["--upstream-host", "a"], "--upstream-host is for --upstream: give that too"),
        (["--upstream", "http://a", "--upstream-host", "a b"], "--upstream-host 'a b' is not a Host: give NAME"),
        (
            ["--upstream", "http://a", "--upstream-host", "a", "--upstream-host", "b"],
            "there are 2 --upstream-host for 1 --upstream: give one, or one for each",
        ),
        (["--models", "digits_xs_int8,digits_xs_int8"], "two models are called digits_xs_int8"),
        (["--replicas", 2], "--replicas is for --ray: give that too"),
        (["--ray-address", "127.0.0.1:6379"], "--ray-address is for --ray: give that too"),
    ],
)
def test_wrong_flags_are_one_line(cli: Cli, flags: list[str], said: str) -> None:
    assert said in one_line(cli("serve", "--port", 0, *flags), 2)


@pytest.mark.parametrize(
    ("hosts", "asked"), [([], [None, None]), (["x"], ["x", "x"]), (["x", "y"], ["x", "y"])], ids=["none", "one", "each"]
)
def test_the_host_of_an_upstream_is_that_of_all_or_its_own(hosts: list[str], asked: list[str | None]) -> None:
    urls = ["http://a", "http://b"]
    assert ModelFlags(upstream=urls, upstream_host=hosts or None).upstreams() == list(zip(urls, asked, strict=True))


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--models", "digits_xs_int7"], "no model 'digits_xs_int7'"),
        (["--host", "192.0.2.1", "--open"], "cannot listen on 192.0.2.1"),
    ],
)
def test_what_cannot_be_served_is_one_line(cli: Cli, flags: list[str], said: str) -> None:
    done = cli("serve", "--port", 0, "--workers", 1, "--models", FAMILY[0], *flags)
    assert said in one_line(done, done.returncode)
    assert done.returncode in (1, 2)


def test_a_memory_budget_for_no_model_is_one_line(cli: Cli) -> None:
    said = one_line(cli("serve", "--port", 0, "--workers", 1, "--models", FAMILY[0], "--memory-budget", "1kB"), 2)
    assert "digits_xs_int8 takes" in said
    assert "over --memory-budget" in said


def test_a_port_in_use_is_one_line(cli: Cli) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        said = one_line(cli("serve", "--port", port, "--workers", 1, "--models", FAMILY[0]), 1)
    assert f"cannot listen on 127.0.0.1 port {port}" in said
    assert "in use" in said


def test_models_with_other_labels_are_refused(cli: Cli, stranger: Path) -> None:
    done = cli("serve", "--port", 0, "--workers", 1, "--models", f"{FAMILY[0]},{stranger}")
    *known, refusal = done.stderr.splitlines()
    assert done.returncode == 2
    assert "stranger.tflite has no card: " in known[0]
    assert "error: stranger has other labels than digits_xs_int8 (10 and 10)" in refusal


def test_a_file_that_is_no_model_is_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "no.tflite").write_bytes(b"no model")
    assert "no.tflite" in one_line(cli("serve", "--port", 0, "--workers", 1, "--models", tmp_path / "no.tflite"), 1)


@pytest.mark.parametrize(
    "command",
    [
        ("serve", "--models", "none", "--tokens"),
        ("serve", "--tls-cert", "none", "--tls-key"),
        ("offload", "none.png", "--endpoint", "http://localhost:1", "--token-file"),
    ],
)
def test_secrets_that_any_user_may_read_are_remarked_on_in_one_line(cli: Cli, command: tuple[str, ...]) -> None:
    with tempfile.TemporaryDirectory() as folder:  # pytest's own is for one user alone
        secret = Path(folder, "secret")
        secret.write_text("sixteen-characters-and-more\n")
        for path in (secret.parent, secret):
            path.chmod(0o755)
        remark, *others = cli(*command, secret).stderr.splitlines()
        assert remark == f"ondevice: {command[-1]} {secret} is open to all users of this machine: chmod o-rwx {secret}"
        secret.chmod(0o640)
        assert cli(*command, secret).stderr.splitlines() == others
