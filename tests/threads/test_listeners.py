"""Listeners: each its own limits and routes, TCP and unix, and what happens where an address is taken."""

from __future__ import annotations

import os
import socket
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from siphon.config.settings import ListenerSettings, TcpAddress, UnixAddress
from siphon.dispatch import compile_chain
from siphon.errors import ScriptError, StartError
from siphon.routing import Router
from siphon.threads.buffered import BufferedBytes
from siphon.threads.listener import Listener
from tests.client import Client, request
from tests.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SCRIPT = """
    import threading
    from siphon import http

    @http.route("/")
    async def everywhere(req):
        return http.Response(body=req.client)

    @http.route("/echo", methods=["POST"])
    async def echo(req):
        return http.Response(body=req.body())
"""
ANY_PORT = TcpAddress("127.0.0.1", 0)


def has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


# Several -----------------------------------------------------------------------------------------


def test_each_listener_has_its_own_limits(serve: Callable[..., Service]) -> None:
    service = serve(
        SCRIPT,
        servers=(
            ListenerSettings(listen=ANY_PORT, max_body_bytes=10, server_header=False),
            ListenerSettings(listen=ANY_PORT, max_body_bytes=20, keep_alive_requests=1),
        ),
    )
    with service.connect(listener=0) as client:
        assert client.get("/").get("server") is None
        assert client.get("/echo", method="POST", body=bytes(15)).status == 413
    with service.connect(listener=1) as client:
        answer = client.get("/echo", method="POST", body=bytes(15))
        assert (answer.status, answer.get("connection"), answer.get("server")) == (200, "close", "siphon")


def test_routes_are_served_where_they_say(serve: Callable[..., Service]) -> None:
    service = serve(
        """
        from siphon import http

        @http.route("/all")
        async def everywhere(req):
            return http.Response(body="all")

        @http.route("/one", listeners=["private"])
        async def private(req):
            return http.Response(body="private")

        @http.route("/both", listeners=["private"], methods=["POST"])
        async def private_post(req):
            return http.Response(body="private post")

        @http.route("/both", listeners=["public", "private"])
        async def both(req):
            return http.Response(body="both")
        """,
        servers=(
            ListenerSettings(listen=ANY_PORT, name="public"),
            ListenerSettings(listen=ANY_PORT, name="private"),
            ListenerSettings(listen=ANY_PORT),
        ),
    )
    outcomes = {}
    for listener in range(3):
        with service.connect(listener=listener) as client:
            outcomes[listener] = [client.get(path).status for path in ("/all", "/one", "/both")]
            answer = client.get("/both", method="POST")
            outcomes[listener].append(answer.status)
            if answer.status == 405:
                assert answer.get("allow") == "GET, HEAD, OPTIONS"
    assert outcomes == {0: [200, 404, 200, 405], 1: [200, 200, 200, 200], 2: [200, 404, 404, 404]}


def test_an_unknown_listener_name_stops_the_start(tmp_path: Path) -> None:
    service = Service(
        """
        from siphon import http

        @http.route("/", listeners=["privat"])
        async def private(req):
            return http.Response()
        """,
        tmp_path / "script",
        servers=(ListenerSettings(listen=ANY_PORT, name="private"),),
    )
    with pytest.raises(ScriptError, match="names the listener 'privat'"):
        service.start()


# Unix-domain sockets -----------------------------------------------------------------------------


def unix(path: Path) -> dict[str, object]:
    return {"servers": (ListenerSettings(listen=UnixAddress(str(path))),)}


def test_a_unix_socket_is_served_and_its_file_removed(serve: Callable[..., Service], tmp_path: Path) -> None:
    path = tmp_path / "siphon.sock"
    service = serve(SCRIPT, **unix(path))
    with service.connect() as client:
        assert client.get("/").body == b"unix:0"
        assert client.get("/", "X-Forwarded-For: 1.2.3.4").body == b"unix:0"
    assert service.server.listeners[0].url == f"unix:{path}"
    assert service.stop()
    assert not path.exists()


def test_a_stale_unix_socket_is_replaced(serve: Callable[..., Service], tmp_path: Path) -> None:
    path = tmp_path / "siphon.sock"
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    assert path.exists()
    service = serve(SCRIPT, **unix(path))
    with service.connect() as client:
        assert client.get("/").status == 200


def test_a_unix_socket_that_somebody_answers_on_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "siphon.sock"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        with pytest.raises(StartError, match=f"cannot bind unix:{path}"):
            Service(SCRIPT, tmp_path / "script", **unix(path)).start()
        assert path.exists()
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))


def test_a_unix_socket_whose_server_takes_no_more_clients_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "siphon.sock"
    with socket.socket(socket.AF_UNIX) as other, ExitStack() as waiting:
        other.bind(str(path))
        other.listen(0)
        refused = 0
        while not refused:
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            refused = client.connect_ex(str(path))
        with pytest.raises(StartError, match=f"cannot bind unix:{path}"):
            Service(SCRIPT, tmp_path / "script", **unix(path)).start()


def test_of_two_servers_that_start_on_a_unix_socket_the_one_that_listens_has_it(tmp_path: Path) -> None:
    path = tmp_path / "siphon.sock"
    settings = ListenerSettings(listen=UnixAddress(str(path)))
    router = Router([], partial(compile_chain, []))
    first, second = [Listener(settings, router, BufferedBytes(1)) for _ in range(2)]
    second.listen()
    with pytest.raises(StartError, match=f"cannot listen on unix:{path}: another process has replaced"):
        first.listen()
    first.close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
    second.close()
    assert not path.exists()


def test_a_unix_socket_that_may_not_be_looked_at_any_more_is_listened_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a hook that has given up root, for a folder of root's."""
    path = tmp_path / "siphon.sock"
    settings = ListenerSettings(listen=UnixAddress(str(path)))
    listener = Listener(settings, Router([], partial(compile_chain, [])), BufferedBytes(1))

    def refuse(*arguments: object, **options: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(os, "stat", refuse)
        listener.listen()
        listener.close()
    assert listener.url == f"unix:{path}"  # it is named in the log even then
    assert path.exists()


def test_a_file_where_a_unix_socket_should_be_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(StartError, match="cannot bind unix:"):
        Service(SCRIPT, tmp_path / "script", **unix(path)).start()
    assert path.read_text() == "data"


# Addresses ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not has_ipv6(), reason="this system has no IPv6")
def test_ipv6_is_served_and_named_in_brackets(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, servers=(ListenerSettings(listen=TcpAddress("::1", 0)),))
    port = service.port
    assert service.server.listeners[0].url == f"http://[::1]:{port}"
    with Client(("::1", port)) as client:
        assert client.get("/").body == f"[::1]:{client.sock.getsockname()[1]}".encode()


def test_the_clients_address_is_its_own(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT)
    with service.connect() as client:
        assert client.get("/").body == f"127.0.0.1:{client.sock.getsockname()[1]}".encode()
        assert client.get("/", "X-Forwarded-For: 1.2.3.4").body.startswith(b"127.0.0.1:")


@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_taken_port_stops_the_start_before_any_hook(tmp_path: Path, reuse_port: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        address = TcpAddress("127.0.0.1", other.getsockname()[1])
        service = Service(
            SCRIPT
            + """
    from pathlib import Path

    @http.on_startup
    def hook():
        Path(__file__).with_name("ran").touch()
""",
            tmp_path / "script",
            servers=(
                ListenerSettings(listen=ANY_PORT),
                ListenerSettings(listen=address, reuse_port=reuse_port),
            ),
        )
        with pytest.raises(StartError, match=f"cannot bind {address}: Address already in use"):
            service.start()
    assert not (tmp_path / "script" / "ran").exists()


def test_an_address_of_another_machine_stops_the_start(tmp_path: Path) -> None:
    service = Service(
        SCRIPT, tmp_path / "script", servers=(ListenerSettings(listen=TcpAddress("192.0.2.1", 0)),)
    )
    with pytest.raises(StartError, match=r"cannot bind 192\.0\.2\.1:0: "):
        service.start()


def test_a_port_can_be_taken_again_right_after_a_stop(serve: Callable[..., Service]) -> None:
    first = serve(SCRIPT)
    with first.connect() as client:
        client.get("/", "Connection: close")  # the server closes first: its side is left in TIME_WAIT
        address = TcpAddress("127.0.0.1", first.port)
    assert first.stop()
    second = serve(SCRIPT, servers=(ListenerSettings(listen=address),))
    with second.connect() as client:
        assert client.get("/").status == 200


def test_two_servers_may_share_a_port_where_both_say_so(serve: Callable[..., Service]) -> None:
    first = serve(SCRIPT, reuse_port=True)
    address = TcpAddress("127.0.0.1", first.port)
    second = serve(SCRIPT, servers=(ListenerSettings(listen=address, reuse_port=True),))
    assert first.port == second.port
    assert first.stop()
    for _ in range(10):
        with second.connect() as client:
            assert client.get("/").status == 200


# Several acceptors -------------------------------------------------------------------------------


def test_several_acceptors_share_the_listeners(serve: Callable[..., Service]) -> None:
    service = serve(
        SCRIPT,
        acceptors=3,
        servers=(ListenerSettings(listen=ANY_PORT), ListenerSettings(listen=ANY_PORT)),
    )
    clients = [service.connect(listener=number % 2) for number in range(60)]
    for _ in range(3):
        for client in clients:
            client.send(request("/echo", method="POST", body=b"hi"))
        assert [client.answer().body for client in clients] == [b"hi"] * 60
    for client in clients:
        client.close()
    assert service.stop()


def test_several_acceptors_keep_max_connections_together(serve: Callable[..., Service]) -> None:
    service = serve(SCRIPT, acceptors=3, max_connections=10)
    silent = [service.connect() for _ in range(10)]
    with service.connect() as newcomer:
        newcomer.send(request("/"))
        newcomer.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            newcomer.answer()
        newcomer.sock.settimeout(10)
        silent.pop().close()
        assert newcomer.answer().status == 200
    for client in silent:
        client.close()


def test_no_descriptor_is_left_after_a_stop(serve: Callable[..., Service], tmp_path: Path) -> None:
    serve(SCRIPT).stop()  # whatever is opened once for all is open now
    before = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    service = serve(SCRIPT, acceptors=2)
    with service.connect() as client:
        client.get("/")
        assert service.stop()
    after = set(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else set()
    assert len(after) == len(before)
