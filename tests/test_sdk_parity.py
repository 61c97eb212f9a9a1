"""The check that siphon_sdk and the published SDK have not drifted apart."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.command import ROOT, environment, write

if TYPE_CHECKING:
    from pathlib import Path

SCRIPT = ROOT / "scripts/check_sdk_parity.py"
CHECK = runpy.run_path(str(SCRIPT))
NOTHING = CHECK["Lists"]({}, {}, {})


def check(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *words],
        env=environment(variables),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def lists(**given: set[str]) -> Any:
    return CHECK["Lists"](
        *({"for a reason": frozenset(given.get(name, ()))} for name in ("ours", "theirs", "unlike"))
    )


@pytest.mark.parametrize(
    ("theirs", "ours", "complaints"),
    [
        ({"A.b": "function"}, {"A.b": "function"}, []),
        ({"A.b": "function"}, {}, ["the SDK has, siphon has not:  A.b (function)"]),
        ({}, {"A.b": "function"}, ["siphon has, the SDK has not:  A.b (function)"]),
        (
            {"A.b(c)": "keyword only, default None"},
            {"A.b(c)": "positional, default None"},
            ["differs:  A.b(c): keyword only, default None in the SDK, positional, default None in siphon"],
        ),
    ],
)
def test_every_difference_is_told(
    theirs: dict[str, str], ours: dict[str, str], complaints: list[str]
) -> None:
    assert CHECK["drift"](theirs, ours, NOTHING) == complaints


def test_what_has_been_reviewed_is_not_told() -> None:
    theirs = {"A.gone": "attribute", "A.c": "function"}
    ours = {"A.new": "function", "A.new(x)": "positional, required", "A.c": "coroutine function"}
    assert CHECK["drift"](theirs, ours, lists(ours={"A.new*"}, theirs={"A.gone"}, unlike={"A.c"})) == []


def test_a_review_that_is_out_of_date_is_told() -> None:
    both = {"A.b": "function"}
    assert CHECK["drift"](both, both, lists(ours={"A.b"}, theirs={"A.c*"}, unlike={"A.b"})) == [
        "listed as siphon's alone, and no longer is:  A.b",
        "listed as the SDK's alone, and no longer is:  A.c*",
        "listed as not alike, and no longer is:  A.b",
    ]


PUBLISHED = """
class HttpStatusError(Exception): ...

class MockRequest:
    def __init__(self, *, method="GET"):
        self.method = method
    def body(self): ...

class MockResponse:
    async def header(self, name): ...

class MockClient:
    def get(self, path, headers=None): ...

class MockHttp:
    Request = MockRequest
    def __init__(self): self.sent_requests: list = []
    def route(self, path, methods=("GET",)): ...
"""


def test_the_drift_from_another_sdk_is_told(tmp_path: Path) -> None:
    (tmp_path / "siphon_sdk").mkdir()
    write(tmp_path / "siphon_sdk", "__init__.py", "")
    write(tmp_path / "siphon_sdk", "http.py", PUBLISHED)
    testing = "class HttpTestHarness:\n    def request(self, method): ...\n    def run_later(self): ...\n"
    write(tmp_path / "siphon_sdk", "http_testing.py", testing)
    done = check("--against", str(tmp_path))
    assert done.returncode == 1
    for line in (
        "differs:  MockClient.get: function in the SDK, coroutine function in siphon",
        "differs:  MockClient.get(headers): positional, default None in the SDK, "
        "keyword only, default None in siphon",
        "differs:  MockResponse.header: coroutine function in the SDK, function in siphon",
        "differs:  http.route(methods): positional, default ('GET',) in the SDK, "
        "positional, default None in siphon",
        "the SDK has, siphon has not:  HttpTestHarness.run_later (function)",
        "siphon has, the SDK has not:  MockRequest(path) (keyword only, default '/')",
    ):
        assert f"  {line}\n" in done.stdout
    assert "MockHttp.sent_requests" not in done.stdout
    assert "MockRequest.method" not in done.stdout


def test_the_published_sdk_agrees() -> None:
    done = check()
    if "is not checked" in done.stdout and os.environ.get("CI") != "true":
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("ci", "code"), [("true", 2), ("", 0)])
def test_without_a_network_it_says_so_and_fails_in_ci_alone(tmp_path: Path, ci: str, code: int) -> None:
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    done = check(SIPHON_CACHE=str(tmp_path), CI=ci, **nowhere)
    assert (done.returncode, done.stderr) == (code, "")
    assert "SDK parity is not checked: pip cannot get siphon-sip" in done.stdout
    assert list(tmp_path.iterdir()) == []
