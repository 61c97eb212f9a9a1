"""The fixture that pytest offers where siphon is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from siphon.testing import HttpTestHarness


@pytest.fixture
def siphon_harness() -> Iterator[HttpTestHarness]:
    """A ``siphon.testing.HttpTestHarness``, closed after the test."""
    # Here, so that a run of pytest that has no use for siphon does not import it.
    from siphon.testing import HttpTestHarness

    with HttpTestHarness() as harness:
        yield harness
