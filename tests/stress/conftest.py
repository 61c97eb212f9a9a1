"""What every stress test starts from: no GIL, a server that is checked for leaks, figures in the summary."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from typing import TYPE_CHECKING, Any

import pytest

from siphon.journal import journal
from tests.service import Service
from tests.stress.leaks import Watch, open_descriptors, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _pytest.terminal import TerminalReporter


@pytest.fixture(autouse=True)
def gil_is_off(record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Skips on a build with a GIL; fails where something has switched it on before or during the test."""
    if not sysconfig.get_config_var("Py_GIL_DISABLED"):
        pytest.skip("races need a free-threaded build: this interpreter always has a GIL")
    assert not sys._is_gil_enabled()
    yield
    assert not sys._is_gil_enabled()
    record_property("GIL", "off")


@pytest.fixture(autouse=True)
def nothing_goes_wrong_in_the_log(capfd: pytest.CaptureFixture[str]) -> Iterator[None]:
    """Fails where siphon logged an error, such as an illegal move of a connection on some thread."""
    yield
    journal.flush(5.0)
    errors = re.findall(r"^\[[^\]]+\] error .*(?:\n(?!\[).*)*", capfd.readouterr().err, re.MULTILINE)
    assert not errors, "\n".join(errors[:3])


@pytest.fixture
def full() -> bool:
    """Whether the long run is asked for: ``SIPHON_STRESS=full``."""
    return os.environ.get("SIPHON_STRESS") == "full"


@pytest.fixture
def note(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Puts figures under their names into the run's summary."""

    def put(**figures: object) -> None:
        for name, figure in figures.items():
            record_property(name.replace("_", " "), figure)

    return put


@pytest.fixture
def storm(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Starts a real server; after the test it must hold nothing, stop in time and leave no descriptor."""
    running: list[tuple[Service, Watch]] = []
    before = open_descriptors()

    def start(source: str, **settings: Any) -> Service:
        service = Service(source, tmp_path / f"script{len(running)}", **settings)
        service.start()
        running.append((service, Watch(service.server)))
        return service

    yield start
    try:
        for service, watch in running:
            if service._server is not None:
                watch.check()
    finally:
        ended = [service.stop() for service, _ in running]
    assert all(ended), "a thread did not end"
    assert wait_until(lambda: open_descriptors() == before), "descriptors are left after the stop"


def pytest_terminal_summary(terminalreporter: TerminalReporter) -> None:
    """Shows the figures that the tests took note of."""
    lines = [
        f"{report.nodeid.rpartition('::')[2]}: "
        + ", ".join(f"{name} {figure}" for name, figure in report.user_properties)
        for reports in terminalreporter.stats.values()
        for report in reports
        if getattr(report, "when", "") == "teardown" and report.user_properties
    ]
    if lines:
        terminalreporter.section("stress figures")
        for line in lines:
            terminalreporter.line(line)
