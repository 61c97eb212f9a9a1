"""What the tests of the configuration share."""

from pathlib import Path

import pytest

from tests.config.beside import Site


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    """An empty directory, made the current one."""
    monkeypatch.chdir(tmp_path)
    return Site(tmp_path)
