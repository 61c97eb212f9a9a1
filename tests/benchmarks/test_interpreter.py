"""Which interpreters the harness measures on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from benchmarks.interpreter import Interpreter, probe


@pytest.mark.parametrize(
    ("free_threaded", "optimised", "gil_on", "faults"),
    [
        (True, True, False, []),
        (True, True, True, ["its GIL is on once the packages are imported"]),
        (True, False, False, ["it is not built with --enable-optimizations"]),
        (False, True, True, ["it is no free-threaded build"]),
    ],
)
def test_what_is_not_fit_is_said(
    free_threaded: bool, optimised: bool, gil_on: bool, faults: list[str]
) -> None:
    assert Interpreter("", free_threaded, optimised, gil_on, {}).faults() == faults


def test_an_interpreter_tells_what_it_is_and_what_it_has() -> None:
    found = probe(Path(sys.executable), ("h11",), ("h11",))
    assert found.version.endswith(".".join(map(str, sys.version_info[:3])))
    assert found.gil_on is sys._is_gil_enabled()
    assert list(found.packages) == ["h11"]


def test_one_that_is_missing_or_lacks_a_module_ends_the_run_with_a_reason(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="there is no interpreter"):
        probe(tmp_path / "python", ("h11",), ("h11",))
    with pytest.raises(SystemExit, match="no_such_module"):
        probe(Path(sys.executable), ("no_such_module",), ("h11",))
