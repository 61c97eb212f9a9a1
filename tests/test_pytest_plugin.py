"""The fixture that siphon gives to every test run."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from siphon.testing import HttpTestHarness
from tests.command import environment, write

if TYPE_CHECKING:
    from pathlib import Path

TESTS = """
def test_one(siphon_harness):
    siphon_harness.load_source('''
from siphon import http

@http.route("/")
async def root(req):
    return http.Response(body="hello")
''')
    assert siphon_harness.request().body == b"hello"
"""


def test_the_fixture_is_a_harness(siphon_harness: HttpTestHarness) -> None:
    assert isinstance(siphon_harness, HttpTestHarness)


def test_a_project_has_the_fixture_without_doing_anything(tmp_path: Path) -> None:
    write(tmp_path, "test_it.py", TESTS)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (run.returncode, run.stderr) == (0, ""), run.stdout


def test_a_run_that_does_not_use_it_imports_nothing_of_the_server(tmp_path: Path) -> None:
    write(
        tmp_path,
        "test_it.py",
        "import sys\ndef test_one():\n"
        "    assert {name for name in sys.modules if name.partition('.')[0] == 'siphon'} <= "
        "{'siphon', 'siphon.version', 'siphon.pytest_plugin'}\n",
    )
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_it.py"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout
