"""A fuzzer that keeps the inputs which led somewhere new and builds on them.

It watches which branches an input takes, by ``sys.monitoring``, and what the target makes of it: much of
siphon's grammar stands in regular expressions, where no branch can be seen. One thread, one process: what
other threads run meanwhile does not count.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path
from threading import get_ident
from time import monotonic
from typing import TYPE_CHECKING, Final, NamedTuple

import h11

import siphon
from tests.fuzz.mutation import mutated

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Sequence
    from types import CodeType

    type Target = Callable[[bytes], Iterable[Hashable]]
    """Takes any bytes, raises where a property does not hold, and says what it has seen."""

_TOOL: Final = sys.monitoring.COVERAGE_ID
# Not by their names alone: Python itself may be installed below a directory called siphon.
_WATCHED: Final = tuple(str(Path(file).parent) + "/" for file in (siphon.__file__, h11.__file__, __file__))
_SHRINKS_MAX: Final = 2_000


class Finding(Exception):
    """An input for which a property does not hold; what was raised is the cause."""

    def __init__(self, data: bytes, cause: Exception) -> None:
        super().__init__(f"{type(cause).__name__}: {cause}\n  on {data!r}")
        self.data = data


class Report(NamedTuple):
    """What a run has come to."""

    executions: int
    kept: int
    """Inputs that have led somewhere new."""
    features: int
    """Branches taken, and different things seen."""


class Branches:
    """The branches that this thread takes in watched code while this is entered, each the first time.

    A branch that has gone both ways is watched no more: what is left costs nearly nothing.
    """

    def __init__(self) -> None:
        self.taken: set[Hashable] = set()
        self._ways: dict[tuple[CodeType, int], int] = {}
        self._watched: dict[CodeType, bool] = {}

    def __enter__(self) -> Branches:
        self._thread = get_ident()
        sys.monitoring.use_tool_id(_TOOL, "siphon's fuzzer")
        sys.monitoring.register_callback(_TOOL, sys.monitoring.events.BRANCH, self._on_branch)
        sys.monitoring.set_events(_TOOL, sys.monitoring.events.BRANCH)
        sys.monitoring.restart_events()
        return self

    def __exit__(self, *exception: object) -> None:
        sys.monitoring.set_events(_TOOL, 0)
        sys.monitoring.free_tool_id(_TOOL)

    def _on_branch(self, code: CodeType, offset: int, destination: int) -> object:
        if get_ident() != self._thread:
            return None
        watched = self._watched.get(code)
        if watched is None:
            watched = self._watched[code] = code.co_filename.startswith(_WATCHED)
        if not watched:
            return sys.monitoring.DISABLE
        way = self._ways.setdefault((code, offset), destination)
        self.taken.add((id(code), offset, destination))
        return None if way == destination else sys.monitoring.DISABLE


def fuzz(
    target: Target, seeds: Sequence[bytes], *, seconds: float = 1e9, executions: int = 1 << 60, seed: int = 0
) -> Report:
    """Runs ``target`` until the time or the number is spent; raises Finding, shrunk, at the first failure."""
    dice = random.Random(seed)
    corpus = list(seeds)
    seen: set[Hashable] = set()
    kept = runs = 0
    deadline = monotonic() + seconds
    waiting = list(reversed(corpus))
    with Branches() as branches:
        while runs < executions and (runs % 64 or monotonic() < deadline):
            data = waiting.pop() if waiting else mutated(_parent(corpus, dice), corpus, dice)
            runs += 1
            branches.taken.clear()
            try:
                features: set[Hashable] = {*target(data), *branches.taken}
            except Exception as error:
                raise _shrunk(target, data, error) from error
            if not features <= seen:
                seen |= features
                corpus.append(data)
                kept += 1
    return Report(runs, kept, len(seen))


def _parent(corpus: Sequence[bytes], dice: random.Random) -> bytes:
    """Later finds twice as often: they are where the new is."""
    return corpus[max(dice.randrange(len(corpus)), dice.randrange(len(corpus)))]


def _shrunk(target: Target, data: bytes, error: Exception) -> Finding:
    """The failure of a smaller input, if taking parts out of this one leaves it."""
    size = len(data) // 2
    tries = 0
    while size and tries < _SHRINKS_MAX:
        for begin in range(0, len(data), size):
            tries += 1
            smaller = data[:begin] + data[begin + size :]
            try:
                target(smaller)
            except Exception as other:  # noqa: BLE001 - whatever a target raises is what is looked for
                if type(other) is type(error):
                    data, error = smaller, other
                    break
        else:
            size //= 2
    return Finding(data, error)
