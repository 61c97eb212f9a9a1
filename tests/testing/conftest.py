"""Fixtures for tests of the harness."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from siphon.testing import HttpTestHarness

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture
def load() -> Iterator[Callable[..., HttpTestHarness]]:
    """Makes a harness with a script's source in it; it is closed after the test."""
    made: list[HttpTestHarness] = []

    def make(source: str, **given: object) -> HttpTestHarness:
        harness = HttpTestHarness(**given)  # type: ignore[arg-type]
        made.append(harness)
        harness.load_source("from siphon import http, log\n" + source)
        return harness

    yield make
    for harness in made:
        harness.close()
