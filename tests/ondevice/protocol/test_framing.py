"""In what form a server is sent tensors: as it lists, else as it is found to take them."""

from __future__ import annotations

import pytest

from ondevice.errors import FailureKind
from ondevice.protocol.framing import Framing

DOUBTED = [FailureKind.REJECTED, FailureKind.WRONG]


def test_what_lists_the_extension_is_sent_binary_whatever_becomes_of_it() -> None:
    framing = Framing()
    framing.listed(["classification", "binary_tensor_data"])
    assert not any(framing.again(True, kind) for kind in FailureKind)
    assert framing.binary


@pytest.mark.parametrize("kind", DOUBTED)
def test_what_lists_nothing_is_tried_in_binary_and_then_in_json(kind: FailureKind) -> None:
    framing = Framing()
    framing.listed([])
    assert framing.binary
    assert framing.again(True, kind)
    assert not framing.binary
    framing.understood(binary=False)
    assert not any(framing.again(False, kind) for kind in FailureKind), "remembered"
    assert not framing.binary


def test_what_takes_binary_though_it_lists_nothing_is_remembered() -> None:
    framing = Framing()
    framing.understood(binary=True)
    assert not any(framing.again(True, kind) for kind in FailureKind)
    assert framing.binary


def test_what_refuses_both_has_told_nothing() -> None:
    framing = Framing()
    assert framing.again(True, FailureKind.REJECTED)
    assert not framing.again(False, FailureKind.REJECTED)
    assert framing.binary


def test_two_at_once_that_are_refused_are_both_sent_again() -> None:
    framing = Framing()
    assert [framing.again(True, FailureKind.WRONG) for _ in range(2)] == [True, True]
    assert not framing.binary


def test_what_was_under_way_in_binary_when_json_was_found_to_be_wanted_is_sent_again() -> None:
    framing = Framing()
    assert framing.again(True, FailureKind.WRONG)
    framing.understood(binary=False)
    assert framing.again(True, FailureKind.WRONG)
    assert not framing.binary
    assert not framing.again(True, FailureKind.CUT)


@pytest.mark.parametrize("kind", [kind for kind in FailureKind if kind not in DOUBTED])
def test_what_has_nothing_to_do_with_the_form_changes_nothing(kind: FailureKind) -> None:
    framing = Framing()
    assert not framing.again(True, kind)
    assert framing.binary
