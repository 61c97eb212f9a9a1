"""A measured server is a real process: it is checked, watched and gone at the end."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from benchmarks.crowd import Crowd, CrowdSize
from benchmarks.load import Load
from benchmarks.process import Running
from benchmarks.servers import Server, siphon

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="figures come from /proc"
)


HELLO = Load("/", 1)


def python(source: str) -> Callable[[int, Path], list[str]]:
    return lambda port, scratch: [sys.executable, "-c", source]


def test_a_server_is_checked_and_watched_and_ends() -> None:
    with Running(siphon("siphon_hello")) as running:
        running.check(HELLO)
        running.check(Load("/sync", 1))
        before = running.footprint()
        with pytest.raises(SystemExit, match="answers /nope with 404"):
            running.check(Load("/nope", 1))
        assert before.threads > 10
        assert before.rss_mb >= before.pss_mb > 5
        assert running.footprint().cpu_s >= before.cpu_s > 0
    with pytest.raises(ConnectionRefusedError):
        running.check(HELLO)


def test_a_server_may_write_its_bytecode_whatever_this_process_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    server = Server("told", "told", python("import sys; raise SystemExit(f'told {sys.dont_write_bytecode}')"))
    with pytest.raises(SystemExit, match="told False"), Running(server):
        pytest.fail("it cannot have started")


def test_a_server_that_does_not_start_is_shown_with_its_output() -> None:
    server = Server("broken", "broken", python("raise SystemExit('out of luck')"))
    with pytest.raises(SystemExit, match=r"broken did not start(?s:.*)out of luck"), Running(server):
        pytest.fail("it cannot have started")


def test_a_crowd_takes_no_thread_and_is_not_answered() -> None:
    with Running(siphon("siphon_hello", "patient.yaml")) as running:
        threads = running.footprint().threads
        with Crowd(CrowdSize(idle=20, unfinished=5), running.port) as crowd:
            running.check(HELLO)
            crowd.check()
            assert running.footprint().threads == threads


def test_a_crowd_that_the_server_sends_away_is_noticed() -> None:
    with (
        Running(siphon("siphon_hello", "patient.yaml")) as running,
        Crowd(CrowdSize(idle=20, unfinished=0), running.port) as crowd,
    ):
        running.stop()
        with pytest.raises(SystemExit, match="20 of 20 idle connections were closed"):
            crowd.check()
