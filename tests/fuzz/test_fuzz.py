"""The fuzzer finds what is planted, and each target holds for a while on the same inputs every time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tests.fuzz.guided import Branches, Finding, fuzz
from tests.fuzz.targets import TARGETS

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable


@pytest.mark.parametrize("name", TARGETS)
def test_the_properties_hold_for_a_short_run(name: str) -> None:
    target, seeds = TARGETS[name]
    report = fuzz(target, seeds, executions=600)
    assert report.executions == 600
    assert report.kept > 1


def planted(data: bytes) -> Iterable[Hashable]:
    """Fails behind three branches that nobody takes by chance."""
    if data[:1] == b"#":
        if data[1:2] == b"!":
            if data[2:3] == b"\x00":
                raise ValueError("found")
            yield "second"
        yield "first"


def test_a_failure_behind_several_branches_is_found_and_shrunk() -> None:
    with pytest.raises(Finding) as caught:
        fuzz(planted, [b"a"], executions=300_000)
    assert caught.value.data == b"#!\x00"
    assert "ValueError: found" in str(caught.value)


def test_the_same_seed_leads_the_same_way() -> None:
    target, seeds = TARGETS["forwarded"]
    assert fuzz(target, seeds, executions=300, seed=7) == fuzz(target, seeds, executions=300, seed=7)


def test_what_another_thread_runs_leads_nowhere() -> None:
    with Branches() as branches:
        other = threading.Thread(target=list, args=(planted(b"#"),))
        other.start()
        other.join()
        elsewhere = len(branches.taken)
        list(planted(b"#"))
    assert (elsewhere, len(branches.taken) > 0) == (0, True)
