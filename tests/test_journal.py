"""The log, on real pipes: its two formats, what it escapes, and that nobody ever waits for it."""

from __future__ import annotations

import json
import os
import re
import threading
from contextvars import Context
from time import time
from typing import TYPE_CHECKING, Self

import pytest

from siphon import log
from siphon.config.settings import LogFormat, LogLevel, LogSettings
from siphon.journal import QUEUE_MAX, Access, Journal, journal, recording

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


def access(target: str = "/a?b", peer: str = "127.0.0.1:5000", method: str = "GET") -> Access:
    return Access(1_000.5, peer, method, target, 1, 200, 12, 3.14159)


# Formats -----------------------------------------------------------------------------------------


def test_a_text_line_has_time_level_and_text(pipe: Pipe) -> None:
    pipe.journal.log("warning", "something is é")
    assert re.fullmatch(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}\] warning something is é", pipe.line())


def test_an_access_line_says_who_asked_for_what_and_what_became_of_it(pipe: Pipe) -> None:
    pipe.journal.put(access())
    assert pipe.line().endswith('127.0.0.1:5000 - "GET /a?b HTTP/1.1" 200 3.142')


def test_a_json_line_is_one_object(pipe: Pipe) -> None:
    before = time()
    pipe.configure(form="json").journal.log("error", 'two\nlines "é"')
    row = json.loads(pipe.line())
    assert before - 0.001 <= row.pop("time") <= time() + 0.001
    assert row == {"type": "log", "level": "error", "message": 'two\nlines "é"'}


def test_a_json_access_line_has_every_part(pipe: Pipe) -> None:
    pipe.configure(form="json").journal.put(access('/"\\'))
    assert json.loads(pipe.line()) == {
        "time": 1_000.5,
        "type": "access",
        "client": "127.0.0.1:5000",
        "method": "GET",
        "target": '/"\\',
        "protocol": "HTTP/1.1",
        "status": 200,
        "bytes": 12,
        "duration_ms": 3.142,
    }


def test_lines_keep_their_order(pipe: Pipe) -> None:
    for number in range(500):
        pipe.journal.log("info", f"line {number}")
    assert [line.rpartition("line ")[2] for line in pipe.lines()] == [str(n) for n in range(500)]


# Levels ------------------------------------------------------------------------------------------


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


# Escapes -----------------------------------------------------------------------------------------

CONTROLS = [chr(code) for code in [*range(32), *range(127, 160)]]


def raw_controls(text: str) -> list[str]:
    return [character for character in text if character in CONTROLS]


@pytest.mark.parametrize("form", ["text", "json"])
def test_control_characters_never_reach_the_terminal(pipe: Pipe, form: LogFormat) -> None:
    pipe.configure(form=form)
    for control in CONTROLS:
        if control not in "\n\t":
            pipe.journal.log("info", f"<{control}>")
    lines = pipe.lines()
    assert len(lines) == len(CONTROLS) - 2
    assert not raw_controls("".join(lines))


def test_escapes_in_a_text_line_are_readable(pipe: Pipe) -> None:
    pipe.journal.log("info", "a\x1b[31mb\x7f\x9b\0c\r")
    assert pipe.line().endswith(r"a\x1b[31mb\x7f\x9b\x00c\x0d")


@pytest.mark.parametrize("form", ["text", "json"])
def test_an_access_line_cannot_be_forged(pipe: Pipe, form: LogFormat) -> None:
    pipe.configure(form=form)
    pipe.journal.put(access('/x" 200 1\n[2026-01-01 00:00:00.000] error\t\x1b'))
    line = pipe.line()
    assert not raw_controls(line)
    if form == "json":
        assert json.loads(line)["status"] == 200
    else:
        assert line.endswith('HTTP/1.1" 200 3.142')
        assert line.count('"') == 2


def test_a_line_of_text_cannot_pass_for_another_entry(pipe: Pipe) -> None:
    pipe.journal.log("info", "asked for a\n[2026-01-01 00:00:00.000] error   forged")
    first, *others = pipe.lines()
    assert first.startswith("[")
    assert others
    assert not any(other.startswith("[") for other in others)


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_lone_surrogate_can_be_logged(pipe: Pipe, form: LogFormat) -> None:
    pipe.configure(form=form).journal.log("info", "a\udc80b")
    pipe.journal.log("info", "next")
    first, second = pipe.lines()
    assert r"a\udc80b" in first
    assert "next" in second


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
    assert b" 1 log lines were dropped: " in pipe.read_until(b"could not be written fast enough\n")
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
    assert " 3 log lines were dropped" in written


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
