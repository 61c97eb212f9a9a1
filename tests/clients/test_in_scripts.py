"""Outbound calls from handlers, hooks and middlewares of a served script."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from siphon.config.settings import ClientSettings
from tests.clients.upstream import Upstream
from tests.command import PORT_0, Command, run, write
from tests.service import Service

if TYPE_CHECKING:
    from pathlib import Path

    from tests.clients.upstream import Peer

SCRIPT = """
    from siphon import http

    shared = http.Client("api")

    @http.on_startup
    async def warm():
        (await shared.get("/warm")).raise_for_status()

    @http.middleware
    async def guard(req):
        async with http.Client("api") as client:
            return None if (await client.get("/guard")).status == 200 else http.Response(403)

    @http.route("/{*rest}")
    async def relay(req):
        answer = await shared.get(req.raw_path)
        return http.Response(answer.status, body=answer.body)

    @http.on_shutdown
    async def leave():
        await shared.post("/leave")
"""


def test_hooks_middlewares_and_handlers_share_the_connections_of_a_name(tmp_path: Path) -> None:
    with Upstream() as upstream:
        service = Service(SCRIPT, tmp_path / "app", clients={"api": ClientSettings(base_url=upstream.url)})
        service.start()
        with service.connect() as client:
            assert client.get("/one").body == b"ok"
            assert client.get("/two").body == b"ok"
        assert service.stop()
        targets = [upstream.received.get(timeout=10).target for _ in range(6)]
        assert targets == ["/warm", "/guard", "/one", "/guard", "/two", "/leave"]
        assert upstream.connections == 1


ENDLESS = """
    from siphon import http

    @http.route("/")
    async def wait(req):
        return await http.Client("api").get("/never")
"""


@pytest.mark.parametrize("ending", ["504", "disconnect", "stop"])
def test_a_handler_that_ends_takes_its_call_with_it(tmp_path: Path, ending: str) -> None:
    def mute(peer: Peer, upstream: Upstream) -> None:
        request = peer.request()
        assert request is not None
        upstream.received.put(request)
        peer.wait_for_end()
        upstream.released.set()

    with Upstream(mute) as upstream:
        settings = {"request_timeout_ms": 300} if ending == "504" else {}
        clients = {"api": ClientSettings(base_url=upstream.url)}
        service = Service(ENDLESS, tmp_path / "app", clients=clients, shutdown_timeout_ms=200, **settings)
        service.start()
        client = service.connect()
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        upstream.received.get(timeout=10)
        if ending == "504":
            assert client.answer().status == 504
        elif ending == "disconnect":
            client.reset()
        else:
            assert service.stop()
        assert upstream.released.wait(10)
        client.close()
        assert service.stop()


def test_an_error_of_a_call_is_the_handler_s_error_and_names_the_call(tmp_path: Path) -> None:
    write(tmp_path, "app.py", "from siphon import http\n" + ENDLESS.replace("\n    ", "\n"))
    write(tmp_path, "http.yaml", "clients:\n  api: {base_url: 'http://127.0.0.1:1', timeout_ms: 2000}\n")
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        assert command.connect().get("/").status == 500
        logged = command.log_until("ConnectError")
    assert "GET http://127.0.0.1:1/never: Connection refused" in logged


def test_a_wrong_name_ends_the_start_with_the_line_that_names_it(tmp_path: Path) -> None:
    script = 'from siphon import http\napi = http.Client("nope")\n'
    write(tmp_path, "app.py", script)
    write(tmp_path, "http.yaml", "clients: {api: {}}\n")
    for command in (["app.py"], ["check", "app.py"], ["routes", "app.py"]):
        done = run(*command, cwd=tmp_path)
        assert done.returncode == 3
        assert 'app.py", line 2' in done.stderr
        assert "http.yaml has no client 'nope' under clients; there are: 'api'" in done.stderr


def test_a_script_without_calls_imports_neither_urllib3_nor_h2(tmp_path: Path) -> None:
    write(tmp_path, "app.py", WITHOUT_CALLS)
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        assert command.connect().get("/").body == b"[]"


WITHOUT_CALLS = """
import sys
from siphon import http

@http.route("/")
async def loaded(req):
    return http.Response(body=str([name for name in ("urllib3", "h2") if name in sys.modules]))
"""
