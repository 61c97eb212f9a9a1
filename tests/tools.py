"""Programs that tests call: where one is missing the test is skipped on a laptop and fails in CI."""

from __future__ import annotations

import os
import shutil

import pytest

from tests.command import ROOT

_DOCS_VENV = ROOT / ".venv-docs/bin"


def needed(name: str, remedy: str) -> str:
    """The path of a program. ``remedy`` says what brings it, such as "run scripts/apt.sh test"."""
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")
    return path if path is not None else _missing(name, remedy)


def of_docs(name: str) -> str:
    """The path of a program in the virtual environment that ``make docs`` makes."""
    path = shutil.which(name, path=str(_DOCS_VENV))
    return path if path is not None else _missing(f".venv-docs/bin/{name}", "run make docs")


def _missing(name: str, remedy: str) -> str:
    text = f"there is no {name}: {remedy}"
    if os.environ.get("CI") == "true":
        pytest.fail(text)
    pytest.skip(text)
