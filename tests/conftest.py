"""Fixtures that every test may use."""

from __future__ import annotations

import re
import signal
from typing import TYPE_CHECKING

import pytest

from siphon.journal import journal
from tests.certificates import Certificates
from tests.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from types import FrameType


def pytest_configure() -> None:
    """Ignores here alone what a shell has background jobs ignore: what tests start would inherit it."""
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, _ignore)


def _ignore(number: int, frame: FrameType | None) -> None:
    """Unlike SIG_IGN a handler is not inherited."""


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a real server on a script's source; it is stopped, and checked for leaks, after the test."""
    running: list[Service] = []

    def start(source: str, **settings: object) -> Service:
        service = Service(source, tmp_path / f"script{len(running)}", **settings)
        running.append(service)
        service.start()
        return service

    yield start
    for service in running:
        service.stop()
    # What was logged belongs to this test's captured output, not to the next one's or the terminal.
    assert journal.flush(5)


@pytest.fixture
def logged(capfd: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
    """Reads the warnings and errors that have been logged so far, without their times."""
    lines: list[str] = []

    def read() -> list[str]:
        assert journal.flush(5)
        lines.extend(re.findall(r"^\[[^]]+\] ((?:warning|error) .*)", capfd.readouterr().err, re.MULTILINE))
        return lines

    return read


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority and what it has signed; made once, when first asked for."""
    return Certificates(tmp_path_factory.mktemp("certificates"))
