"""The log, on real pipes and full disks: its order, its levels, and that nobody ever waits for it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from contextvars import Context
from typing import TYPE_CHECKING, Self

import pytest

from siphon import log
from siphon.config.settings import LogFormat, LogLevel, LogSettings
from siphon.daemon import Daemon
from siphon.journal import QUEUE_MAX, QUEUE_MAX_CHARS, Journal, journal, recording
from tests.command import environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


class Pipe:
    """A pipe with a journal at one end."""

    def __init__(self) -> None:
        self.read_fd, self.write_fd = os.pipe()
        self.journal = Journal(self.write_fd)

    def configure(self, *, level: LogLevel = "info", form: LogFormat = "text") -> Self:
        self.journal.configure(LogSettings(level=level, format=form))
        return self

    def lines(self) -> list[str]:
        """What has been written, a line each; all of it must fit into the pipe."""
        assert self.journal.flush(5)
        return os.read(self.read_fd, 1 << 20).decode().splitlines()

    def line(self) -> str:
        (line,) = self.lines()
        return line

    def read_until(self, last: bytes) -> bytes:
        """Everything up to ``last``, however much that is."""
        received = b""
        while last not in received:
            received += os.read(self.read_fd, 1 << 20)
        return received


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    os.close(pipe.read_fd)
    os.close(pipe.write_fd)


# Order and levels --------------------------------------------------------------------------------


def test_lines_keep_their_order(pipe: Pipe) -> None:
    for number in range(500):
        pipe.journal.log("info", f"line {number}")
    assert [line.rpartition("line ")[2] for line in pipe.lines()] == [str(n) for n in range(500)]


@pytest.mark.parametrize(
    ("level", "written"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_what_is_below_the_level_is_left_out(pipe: Pipe, level: LogLevel, written: list[str]) -> None:
    pipe.configure(level=level)
    levels: tuple[LogLevel, ...] = ("debug", "info", "warning", "error")
    for each in levels:
        pipe.journal.log(each, each)
    assert [line.split()[-1] for line in pipe.lines()] == written


@pytest.mark.parametrize(
    ("name", "level"),
    [("info", "info"), ("warning", "warning"), ("warn", "warning"), ("error", "error")],
)
def test_a_scripts_calls_log_anything_at_their_level(
    name: str, level: str, capfd: pytest.CaptureFixture[str]
) -> None:
    getattr(log, name)({"some": 1})
    log.debug("not this")
    assert journal.flush(5)
    written = capfd.readouterr().err
    assert re.search(rf"\] {level} +\{{'some': 1\}}\n", written)
    assert "not this" not in written


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_lone_surrogate_can_be_logged(pipe: Pipe, form: LogFormat) -> None:
    pipe.configure(form=form).journal.log("info", "a\udc80b")
    pipe.journal.log("info", "next")
    first, second = pipe.lines()
    assert r"a\udc80b" in first
    assert "next" in second


# Without a thread ------------------------------------------------------------------------------


def refuse_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: Daemon) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Daemon, "start", refuse)


def test_a_line_waits_for_the_next_one_where_the_system_has_no_thread_to_write_it(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        refuse_threads(patched)
        pipe.journal.log("info", "first")
        assert not pipe.journal.flush(60)
    pipe.journal.log("info", "second")
    assert [line.split()[-1] for line in pipe.lines()] == ["first", "second"]


def test_the_end_writes_what_no_thread_could(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        refuse_threads(patched)
        pipe.journal.log("info", "only")
        assert pipe.journal.close()
    assert pipe.line().endswith("only")


# Waiting -----------------------------------------------------------------------------------------


def test_a_blocked_pipe_blocks_no_caller_and_what_is_dropped_is_counted(pipe: Pipe) -> None:
    pipe.journal.log("info", "x" * 200_000)  # more than the pipe holds: the writer is stuck from here on
    extra = 777
    first = os.read(pipe.read_fd, 1)  # it has begun to write
    for number in range(QUEUE_MAX + extra):
        pipe.journal.log("info", f"line {number}")
    assert not pipe.journal.flush(0.05)
    written = (first + pipe.read_until(b"were dropped")).decode()
    assert f" {extra} log lines were dropped" in written
    assert written.count("line ") == QUEUE_MAX
    assert f"line {QUEUE_MAX - 1}\n" in written
    while not pipe.journal.flush(0.01):  # the end of the last line
        os.read(pipe.read_fd, 1 << 20)


def test_there_is_room_again_once_the_pipe_is_read(pipe: Pipe) -> None:
    pipe.journal.log("info", "x" * 200_000)
    os.read(pipe.read_fd, 1)
    for number in range(QUEUE_MAX + 1):
        pipe.journal.log("info", f"line {number}")
    last = b"1 came faster than the log could be written\n"
    assert b" 1 log lines were dropped: " in pipe.read_until(last)
    assert pipe.journal.flush(5)
    pipe.journal.log("info", "after")
    assert pipe.line().endswith("after")


def test_a_descriptor_that_does_not_block_loses_nothing(pipe: Pipe) -> None:
    os.set_blocking(pipe.write_fd, False)
    for number in range(5_000):
        pipe.journal.log("info", f"line {number} {'x' * 100}")
    pipe.journal.log("info", "the last one")
    written = pipe.read_until(b"the last one\n").decode()
    assert written.count("line ") == 5_000
    assert "dropped" not in written


def test_lines_that_cannot_be_written_are_counted(pipe: Pipe) -> None:
    """The reader goes away, then another one comes: it hears how much it missed."""
    spare_read, spare_write = os.pipe()
    os.close(spare_read)
    os.dup2(spare_write, pipe.write_fd)
    real_read, real_write = os.pipe()
    for number in range(3):
        pipe.journal.log("info", f"line {number}")
        assert pipe.journal.flush(5)
    os.dup2(real_write, pipe.write_fd)
    for fd in (spare_write, real_write):
        os.close(fd)
    pipe.journal.log("info", "after")
    assert pipe.journal.flush(5)
    written = os.read(real_read, 65_536).decode()
    os.close(real_read)
    assert "after" in written
    assert " 3 log lines were dropped: 3 could not be written (Broken pipe)" in written


def test_lines_on_a_full_disk_are_counted_and_reported_when_there_is_room(pipe: Pipe) -> None:
    working = os.dup(pipe.write_fd)
    with open("/dev/full", "wb", buffering=0) as full:
        os.dup2(full.fileno(), pipe.write_fd)
    for number in range(5):
        pipe.journal.log("info", f"line {number}")
        assert pipe.journal.flush(5)
    assert pipe.journal.dropped == 5
    os.dup2(working, pipe.write_fd)
    os.close(working)
    pipe.journal.log("info", "after")
    lines = pipe.lines()
    assert "after" in lines[0]
    assert lines[1].endswith(" 5 log lines were dropped: 5 could not be written (No space left on device)")
    assert len(lines) == 2
    assert pipe.journal.dropped == 5


def test_what_was_dropped_is_reported_at_the_end_even_where_nothing_follows(pipe: Pipe) -> None:
    working = os.dup(pipe.write_fd)
    with open("/dev/full", "wb", buffering=0) as full:
        os.dup2(full.fileno(), pipe.write_fd)
    pipe.journal.log("info", "lost")
    assert pipe.journal.flush(5)
    os.dup2(working, pipe.write_fd)
    os.close(working)
    assert pipe.journal.close(5)
    assert " 1 log lines were dropped" in pipe.line()


FILLS_ITS_DISK = """
import os, resource, signal, sys
from siphon.journal import Journal

journal = Journal(os.open("log", os.O_WRONLY | os.O_CREAT | os.O_APPEND))
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000, hard))
for number in range(100):
    journal.log("info", f"line {number}")
assert journal.flush(5)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
journal.log("info", "after")
assert journal.close(5)
"""


def test_a_line_that_was_cut_off_by_a_full_disk_does_not_run_into_the_next(tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-c", FILLS_ITS_DISK], cwd=tmp_path, env=environment(), check=False, timeout=60
    )
    assert ended.returncode == 0
    *whole, torn, after, note = (tmp_path / "log").read_text().splitlines()
    assert [line.rpartition(" ")[2] for line in whole] == [str(number) for number in range(len(whole))]
    assert 10 < len(whole) < 30
    assert torn.startswith("[")
    assert after.endswith("after")
    assert f" {100 - len(whole)} log lines were dropped" in note


def test_long_lines_that_nobody_reads_take_bounded_memory(pipe: Pipe) -> None:
    long = "x" * 1_000_000
    for _ in range(100):
        pipe.journal.log("info", long)
    # One batch may be on its way out; what is queued behind it is bounded.
    kept = QUEUE_MAX_CHARS // len(long) + 1
    assert 100 - 2 * kept <= pipe.journal.dropped < 100
    while not pipe.journal.flush(0.01):
        os.read(pipe.read_fd, 1 << 20)


def test_a_burst_is_written_in_few_pieces(tmp_path: Path) -> None:
    """Who logs wakes the writer once, and it waits a moment for more."""
    read_fd, write_fd = os.pipe()
    journal = Journal(write_fd)
    journal.log("info", "the first one starts the writer")
    assert journal.flush(5)
    os.read(read_fd, 65_536)
    for number in range(100):
        journal.log("info", f"line {number}")
    pieces: list[bytes] = []
    while sum(piece.count(b"\n") for piece in pieces) < 100:
        pieces.append(os.read(read_fd, 65_536))
    assert len(pieces) <= 5
    assert journal.close(5)
    os.close(read_fd)
    os.close(write_fd)


def test_what_comes_while_lines_are_written_gathers_as_well(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a writer that is quick comes for each line by itself, and takes a processor for that."""
    write_batch = pipe.journal._write_batch
    rounds = iter(range(10))

    def write_and_find_more() -> None:
        write_batch()
        for number in rounds:
            pipe.journal.log("info", f"more of it, {number}")
            break

    monkeypatch.setattr(pipe.journal, "_write_batch", write_and_find_more)
    begin = time.monotonic()
    pipe.journal.log("info", "the first one")
    pipe.read_until(b"more of it, 9")
    assert time.monotonic() - begin > 10 * 0.009


def test_a_crowd_of_lines_does_not_gather(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("siphon.journal._GATHER_S", 3600.0)
    for number in range(QUEUE_MAX // 4):
        pipe.journal.log("info", f"line {number}")
    pipe.read_until(f"line {QUEUE_MAX // 4 - 1}\n".encode())


def test_flush_waits_for_all_that_was_logged_before(pipe: Pipe) -> None:
    for number in range(200):
        pipe.journal.log("info", f"line {number}")
        assert pipe.journal.flush(5)
        assert f"line {number}" in os.read(pipe.read_fd, 65_536).decode()


def test_flush_of_an_unused_journal_returns_at_once(pipe: Pipe) -> None:
    assert pipe.journal.flush(0)


def test_many_threads_may_log_at_once(pipe: Pipe) -> None:
    def log_many(name: int) -> None:
        for number in range(300):
            pipe.journal.log("info", f"{name} {number}")

    threads = [threading.Thread(target=log_many, args=(name,)) for name in range(4)]
    received: list[bytes] = []

    def read() -> None:
        while sum(chunk.count(b"\n") for chunk in received) < 1_200:
            received.append(os.read(pipe.read_fd, 65_536))

    threads.append(threading.Thread(target=read))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    rows = [line.split()[-2:] for line in b"".join(received).decode().splitlines()]
    for name in range(4):
        assert [int(number) for who, number in rows if who == str(name)] == list(range(300))


def test_a_closed_journal_has_written_all_and_has_no_thread_left(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        journal = Journal(file.fileno())
        for number in range(100):
            journal.log("info", f"line {number}")
        before = {thread.ident for thread in threading.enumerate() if thread.name == "siphon-log"}
        assert journal.close()
        after = {thread.ident for thread in threading.enumerate() if thread.name == "siphon-log"}
        assert len(before - after) == 1
        journal.log("info", "one more")
        assert journal.close()
    lines = (tmp_path / "log").read_text().splitlines()
    assert [line.rpartition("info    ")[2] for line in lines] == [
        *(f"line {n}" for n in range(100)),
        "one more",
    ]


def test_lines_of_one_context_can_be_recorded_and_are_not_written(pipe: Pipe) -> None:
    recorded: list[tuple[str, str]] = []
    with recording(lambda level, text: recorded.append((level, text))):
        pipe.journal.log("debug", "inside")
        thread = threading.Thread(target=pipe.journal.log, args=("info", "another thread"))
        Context().run(thread.start)
        thread.join()
    pipe.journal.log("info", "outside")
    assert recorded == [("debug", "inside")]
    assert [line.partition("] ")[2] for line in pipe.lines()] == ["info    another thread", "info    outside"]
