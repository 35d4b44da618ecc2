"""Bearer tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from ondevice.cloud.app.tokens import Tokens
from ondevice.errors import UsageError

ONE, TWO = "0123456789abcdef0123", "another-token-which-is-long"


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    path = tmp_path / "tokens"
    path.write_text(f"# of the phones\n{ONE}\n\n  {TWO}  \n")
    return Tokens(path)


@pytest.mark.parametrize("header", [f"Bearer {ONE}", f"bearer {TWO}", f"BEARER  {ONE} "])
def test_each_token_of_the_file_is_allowed(tokens: Tokens, header: str) -> None:
    assert tokens.allow(header)


@pytest.mark.parametrize(
    "header", ["", "Bearer", "Bearer ", ONE, f"Basic {ONE}", f"Bearer {ONE}x", "Bearer # of the phones"]
)
def test_all_else_is_not(tokens: Tokens, header: str) -> None:
    assert not tokens.allow(header)


@pytest.mark.parametrize(
    ("text", "said"), [("", "has no token"), ("# none\n", "has no token"), ("short\n", "can be guessed")]
)
def test_a_file_without_good_tokens_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "tokens"
    path.write_text(text)
    with pytest.raises(UsageError, match=said):
        Tokens(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Tokens(tmp_path / "none")


def test_reloading_takes_what_the_file_has_now_or_keeps_what_was(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(ONE)
    tokens = Tokens(path)
    path.write_text(TWO)
    tokens.reload()
    assert (tokens.allow(f"Bearer {ONE}"), tokens.allow(f"Bearer {TWO}")) == (False, True)
    for bad in ("", "short"):
        path.write_text(bad)
        with pytest.raises(UsageError, match="tokens: "):
            tokens.reload()
        assert tokens.allow(f"Bearer {TWO}")
