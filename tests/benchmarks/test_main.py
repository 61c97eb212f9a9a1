"""The command that measures: what it takes and what it refuses."""

from __future__ import annotations

import pytest

from benchmarks import __main__ as command
from benchmarks.interpreter import Interpreter
from benchmarks.scenarios import SCENARIOS

FIT = Interpreter("CPython 3.13.15", True, True, False, {})
WITH_GIL = Interpreter("CPython 3.11.2", False, False, True, {})


def test_an_unfit_interpreter_ends_the_run_unless_it_is_allowed(capsys: pytest.CaptureFixture[str]) -> None:
    assert command._are_fit({"siphon": FIT, "peers": FIT}, any_interpreter=False)
    with pytest.raises(SystemExit, match="interpreter of peers is not fit to be measured"):
        command._are_fit({"siphon": FIT, "peers": WITH_GIL}, any_interpreter=False)
    assert not command._are_fit({"siphon": FIT, "peers": WITH_GIL}, any_interpreter=True)
    assert "warning: the interpreter of peers" in capsys.readouterr().out


def test_the_servers_that_want_a_gil_may_have_it() -> None:
    assert command._are_fit({"siphon": FIT, "gil": WITH_GIL}, any_interpreter=False)


def test_some_cases_are_compared_with_the_first() -> None:
    chosen = command._chosen(SCENARIOS["hello"], "granian")
    assert [case.name for case in chosen.cases] == [
        "siphon, async",
        "granian rsgi, 1 worker",
        "granian rsgi, 2 workers",
    ]


@pytest.mark.parametrize(
    "arguments", [["nope"], ["--rounds", "0"], ["--seconds", "1.5"], ["--warm-up", "-1"]]
)
def test_wrong_usage_is_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command._parser().parse_args(arguments)
    assert "error: argument" in capsys.readouterr().err
