"""A script with a configuration beside it, for the tests of loading."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from siphon.config.load import Overrides, load
from siphon.config.settings import Settings
from siphon.errors import ConfigError


class Site:
    """A directory with a script; the current directory of the test."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.script = Path("app.py")

    def write(self, text: str, name: str = "http.yaml") -> Path:
        """Puts a configuration there."""
        path = self.directory / name
        path.write_text(text, "utf-8")
        return path

    def load(
        self,
        environ: Mapping[str, str] | None = None,
        overrides: Overrides | None = None,
        config: Path | None = None,
    ) -> Settings:
        """What ``siphon.config.load`` makes of it."""
        return load(self.script, config=config, environ=environ or {}, overrides=overrides or Overrides())

    def problems(
        self,
        environ: Mapping[str, str] | None = None,
        overrides: Overrides | None = None,
        config: Path | None = None,
    ) -> list[str]:
        """The problems that it refuses to load with, in order."""
        with pytest.raises(ConfigError) as refused:
            self.load(environ, overrides, config)
        return [str(problem) for problem in refused.value.problems]
