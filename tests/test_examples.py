"""The examples, served and asked as their own docstrings say."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest

from tests.command import ROOT, Command, run
from tests.curl import DOCUMENTED, commands, first_lines

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
REST_API = ROOT / "examples/rest_api.py"

# What the first line of the answer to each command says; all of them are asked in this order.
STATUS_LINES = {
    f"curl -i {DOCUMENTED}/": "HTTP/1.1 200 OK",
    f"curl -i {DOCUMENTED}/items": "HTTP/1.1 200 OK",
    f"curl -i {DOCUMENTED}/items?limit=1": "HTTP/1.1 200 OK",
    f"curl -i {DOCUMENTED}/items/1": "HTTP/1.1 200 OK",
    f"curl -i {DOCUMENTED}/items/99": "HTTP/1.1 404 Not Found",
    f"curl -i -X POST -H 'Authorization: Bearer s3cr3t' -d '{{\"name\": \"cog\"}}' {DOCUMENTED}/items": (
        "HTTP/1.1 201 Created"
    ),
    f'curl -i -X POST -d \'{{"name": "cog"}}\' {DOCUMENTED}/items': "HTTP/1.1 401 Unauthorized",
    f"curl -i -X DELETE -H 'Authorization: Bearer s3cr3t' {DOCUMENTED}/items/1": "HTTP/1.1 204 No Content",
    f"curl -i -X PUT {DOCUMENTED}/items": "HTTP/1.1 405 Method Not Allowed",
    f"curl -i -X OPTIONS {DOCUMENTED}/items": "HTTP/1.1 204 No Content",
    f"curl -i -I {DOCUMENTED}/items": "HTTP/1.1 200 OK",
    f"curl -i {DOCUMENTED}/report": "HTTP/1.1 200 OK",
    f"curl -i {DOCUMENTED}/files/css/site.css": "HTTP/1.1 200 OK",
}


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    folder = tmp_path_factory.mktemp("examples")
    with Command(str(REST_API), "--listen", "127.0.0.1:0", cwd=folder).started() as command:
        yield command
        command.signal(signal.SIGTERM)
        code, _, log = command.ended()
        assert code == 0
        assert "items were on the shelf" in log
        assert "Traceback" not in log


@pytest.mark.parametrize("script", EXAMPLES, ids=lambda script: script.name)
def test_each_example_loads_without_a_complaint(script: Path, tmp_path: Path) -> None:
    ended = run("check", str(script), cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")


def test_the_documented_commands_are_answered_as_they_should_be(served: Command, tmp_path: Path) -> None:
    asked = commands(REST_API)
    found = first_lines(asked, {8080: served.ports[0]}, cwd=tmp_path)
    assert dict(zip(asked, found, strict=True)) == STATUS_LINES
