"""What type checkers in their strict modes say of users' scripts: the examples, the README's, and others."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.command import ROOT, environment, write
from tests.page import blocks

if TYPE_CHECKING:
    from pathlib import Path

DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
# Scripts for what siphon replaces: docs/migrating.md.
FOREIGN = ("_flask.py", "_fastapi.py")
SCRIPTS = [*sorted((ROOT / "examples").glob("*.py")), *sorted((ROOT / "tests/typed").glob("[!_]*.py"))]


def snippets(document: Path) -> dict[str, str]:
    """The scripts of a document, by a name for each."""
    stem = document.stem.replace("-", "_")
    return {
        f"{stem}_{block.title}": block.text
        for block in blocks(document.read_text(encoding="utf-8"))
        if block.language == "python" and not block.included and not block.title.endswith(FOREIGN)
    }


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project: the scripts, each document's snippets, and the settings of both checkers."""
    for script in SCRIPTS:
        shutil.copy(script, tmp_path)
    for document in DOCUMENTS:
        for name, snippet in snippets(document).items():
            write(tmp_path, name, snippet)
    settings = {
        "typeCheckingMode": "strict",
        "include": ["."],
        "extraPaths": [str(ROOT)],
        "enableTypeIgnoreComments": False,
        "reportUnnecessaryTypeIgnoreComment": "error",
    }
    write(tmp_path, "pyrightconfig.json", json.dumps(settings))
    return tmp_path


def run(folder: Path, *command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *command],
        cwd=folder,
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )


def test_there_is_something_to_check(project: Path) -> None:
    names = {path.name for path in project.glob("*.py")}
    assert names >= {"rest_api.py", "right.py", "wrong.py", "README_hello.py", "migrating_notes.py"}


def test_mypy_accepts_what_it_should_and_refuses_the_rest(project: Path) -> None:
    files = sorted(path.name for path in project.glob("*.py"))
    done = run(project, "mypy", "--strict", "--config-file=", *files, MYPYPATH=str(ROOT))
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_accepts_what_it_should_and_refuses_the_rest(project: Path) -> None:
    quiet = {"PYRIGHT_PYTHON_IGNORE_WARNINGS": "1"}
    there = run(project, "pyright", "--version", **quiet)
    if there.returncode != 0:
        reason = (
            f"pyright cannot be run (it needs Node.js and, the first time, npm's registry): {there.stderr}"
        )
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    done = run(project, "pyright", "--pythonpath", sys.executable, **quiet)
    assert done.returncode == 0, done.stdout + done.stderr
