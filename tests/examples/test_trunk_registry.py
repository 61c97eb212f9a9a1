"""examples/trunk_registry.py: a registry and a gateway, as two processes over sockets, and without either."""

from __future__ import annotations

import json
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from siphon import http
from siphon.testing import HttpTestHarness, MockResponse
from tests.command import PORT_0, Command
from tests.curl import commands, curl
from tests.examples.serving import EXAMPLES, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SCRIPT = EXAMPLES / "trunk_registry.py"


def gateway(registry: Command, name: str, **variables: str) -> dict[str, str]:
    return {"GATEWAY": name, "REGISTRY_URL": f"http://127.0.0.1:{registry.ports[0]}", **variables}


def listed(registry: Command) -> dict[str, str]:
    listing: dict[str, str] = json.loads(registry.connect().get("/trunks").body)
    return listing


def test_the_documented_commands_are_answered_as_they_should_be(tmp_path: Path) -> None:
    with (
        serving(SCRIPT.name, tmp_path) as registry,
        serving(SCRIPT.name, tmp_path, gateway(registry, "north")) as north,
    ):
        ports = {8080: registry.ports[0], 8081: north.ports[0]}
        found = [curl(command, ports, cwd=tmp_path) for command in commands(SCRIPT)]
    assert [text.partition("\n")[0] for text in found] == [
        "HTTP/1.1 200 OK",
        "HTTP/1.1 201 Created",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 200 OK",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 404 Not Found",
    ]
    assert json.loads(found[0].partition("\n\n")[2]) == {"north": "sip:north.example.net"}
    assert json.loads(found[3].partition("\n\n")[2]) == {"south": "sip:south.example.net"}
    assert all("Server-Timing: app;dur=" in text for text in found)


def test_a_gateway_is_listed_before_it_serves_and_not_after_it_has_stopped(tmp_path: Path) -> None:
    with serving(SCRIPT.name, tmp_path) as registry:
        with serving(SCRIPT.name, tmp_path, gateway(registry, "a b/c")):
            assert listed(registry) == {"a b/c": "sip:a b/c.example.net"}
        assert listed(registry) == {}


def test_heartbeats_keep_a_gateway_on_the_list_and_bring_it_back(tmp_path: Path) -> None:
    with serving(SCRIPT.name, tmp_path, {"HEARTBEAT_S": "600"}) as registry:
        variables = gateway(registry, "north", HEARTBEAT_S="0.05")
        with serving(SCRIPT.name, tmp_path, variables) as north:
            north.log_until("north is on the list")
            # As after a restart of the registry, which forgets everybody.
            registry.connect().get("/trunks/north", method="DELETE")
            north.log_until("north is on the list")
            assert set(listed(registry)) == {"north"}


def test_a_trunk_without_heartbeats_is_dropped(tmp_path: Path) -> None:
    with serving(SCRIPT.name, tmp_path, {"HEARTBEAT_S": "0.01"}) as registry:
        connection = registry.connect()
        body = b'{"address": "sip:x"}'
        assert connection.get("/trunks/x", method="PUT", body=body).status == 201
        # The lease of 30 ms ends while it is asked for.
        while json.loads(connection.get("/trunks").body):
            pass
        assert connection.get("/trunks/x/heartbeat", method="POST").status == 404


def test_a_gateway_that_cannot_register_does_not_start(tmp_path: Path) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{held.getsockname()[1]}"
        variables = {"GATEWAY": "north", "REGISTRY_URL": url}
        with Command(str(SCRIPT), *PORT_0, cwd=tmp_path, variables=variables) as command:
            code, _, log = command.ended()
    assert code == 3
    assert "ConnectError" in log
    assert url in log


def test_a_gateway_whose_registry_has_gone_stops_all_the_same(tmp_path: Path) -> None:
    with serving(SCRIPT.name, tmp_path) as registry:
        command = Command(str(SCRIPT), *PORT_0, cwd=tmp_path, variables=gateway(registry, "north"))
        with command.started() as north:
            registry.signal(signal.SIGTERM)
            registry.process.wait(30)
            assert north.connect().get("/peers").status == 502
            north.signal(signal.SIGTERM)
            code, _, log = north.ended()
    assert code == 0
    assert "north stays on the list until its lease ends" in log


def test_what_is_no_registration_is_refused(tmp_path: Path) -> None:
    with serving(SCRIPT.name, tmp_path) as registry:
        connection = registry.connect()
        for body in (b"", b"[]", b"{}", b"\xff"):
            assert connection.get("/trunks/x", method="PUT", body=body).status == 400
        assert connection.get("/trunks/x", method="DELETE").status == 404


# Without a listener ------------------------------------------------------------------------------


@pytest.fixture
def north(monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpTestHarness]:
    """A gateway that has been started; what it asked the registry is forgotten."""
    monkeypatch.setenv("GATEWAY", "north")
    with HttpTestHarness() as harness:
        harness.load_script(SCRIPT)
        harness.run_startup()
        (sent,) = harness.sent_requests
        assert (sent["method"], sent["path"]) == ("PUT", "/trunks/north")
        assert json.loads(sent["body"]) == {"address": "sip:north.example.net"}
        harness.sent_requests.clear()
        yield harness


def test_the_gateway_takes_itself_off_the_list(north: HttpTestHarness) -> None:
    north.run_shutdown()
    assert [(sent["method"], sent["path"]) for sent in north.sent_requests] == [("DELETE", "/trunks/north")]
    assert ("info", "north is off the list") in north.log.messages


@pytest.mark.parametrize("error", [http.ConnectError, http.TimeoutError])
def test_a_registry_that_does_not_answer_does_not_keep_the_gateway(
    north: HttpTestHarness, error: type[Exception]
) -> None:
    north.client_error("/trunks/north", error)
    north.run_shutdown()
    assert "stays on the list" in north.log.messages[-1][1]


def test_the_gateway_is_not_among_its_peers(north: HttpTestHarness) -> None:
    north.set_response("/trunks", MockResponse(body=b'{"north": "sip:n", "south": "sip:s"}'))
    response = north.request("GET", "/peers")
    assert (response.status, json.loads(response.body)) == (200, {"south": "sip:s"})
    assert response.headers["server-timing"].startswith("app;dur=")


def test_a_registry_that_refuses_keeps_the_gateway_from_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY", "north")
    with HttpTestHarness() as harness:
        harness.load_script(SCRIPT)
        harness.add_response(MockResponse(400))
        with pytest.raises(http.HTTPStatusError, match="400"):
            harness.run_startup()


def test_a_plain_registry_asks_nobody() -> None:
    with HttpTestHarness(strict=True) as harness:
        harness.load_script(SCRIPT)
        harness.run_startup()
        harness.run_shutdown()
        assert harness.sent_requests == []
