"""examples/auth_and_limits.py: over a socket, and without a listener."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from siphon.testing import HttpTestHarness
from tests.curl import commands, curl
from tests.examples.serving import EXAMPLES, serving

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.command import Command

SCRIPT = EXAMPLES / "auth_and_limits.py"
BURST = 10


@pytest.fixture
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    with serving("auth_and_limits.py", tmp_path_factory.mktemp("limits")) as command:
        yield command


def statuses(served: Command, count: int, *fields: str) -> list[int]:
    """Those of ``count`` requests on as many connections at once."""
    connections = [served.connect() for _ in range(count)]
    with ThreadPoolExecutor(count) as pool:
        asked = [pool.submit(one.get, "/quote", *fields) for one in connections]
        return sorted(one.result().status for one in asked)


def test_the_documented_commands_are_answered_as_they_should_be(
    served: Command, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("curl")
    found = [curl(command, {8080: served.ports[0]}, cwd=folder) for command in commands(SCRIPT)]
    assert [text.partition("\n")[0] for text in found] == [
        "HTTP/1.1 401 Unauthorized",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 401 Unauthorized",
        "200",
        "HTTP/1.1 429 Too Many Requests",
    ]
    assert found[3] == "200\n" * BURST + "429\n" * 2
    assert found[1].endswith("\n\nada: the engine weaves algebraic patterns\n")


def test_a_burst_from_many_threads_takes_each_token_once(served: Command) -> None:
    assert statuses(served, 30, "X-API-Key: alan-1912") == [200] * BURST + [429] * 20


def test_one_client_s_limit_is_not_another_s(served: Command) -> None:
    assert statuses(served, BURST + 1, "X-API-Key: alan-1912").count(429) == 1
    assert statuses(served, BURST, "X-API-Key: ada-1815") == [200] * BURST


def test_who_guesses_keys_is_limited_as_well(served: Command) -> None:
    connection = served.connect()
    guesses = [connection.get("/quote", f"X-API-Key: {number}").status for number in range(BURST + 2)]
    assert guesses == [401] * BURST + [429] * 2


def test_429_says_when_to_come_back(served: Command) -> None:
    connection = served.connect()
    answers = [connection.get("/quote", "X-API-Key: ada-1815") for _ in range(BURST + 1)]
    assert 1 <= int(answers[-1].get("retry-after") or "") <= 6


# Without a listener ------------------------------------------------------------------------------


def test_guessers_are_limited_by_address() -> None:
    with HttpTestHarness() as harness:
        harness.load_script(SCRIPT)
        for _ in range(BURST):
            assert harness.request("GET", "/quote", client="192.0.2.1:1").status == 401
        assert harness.request("GET", "/quote", client="192.0.2.1:2").status == 429
        assert harness.request("GET", "/quote", client="192.0.2.2:1").status == 401
