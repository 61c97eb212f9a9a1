"""Listening on sockets that the process has inherited, and handing them on without losing anybody."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from siphon.config.settings import FdAddress, ListenerSettings
from siphon.errors import StartError
from siphon.threads.inherited import adopt
from tests.client import Client
from tests.command import Command, environment, run, write
from tests.rolling import SCRIPT, Clients, Generations
from tests.service import Service

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    """A supervisor's socket."""
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as sock:
        yield sock


def inherited(sock: socket.socket) -> dict[str, object]:
    """The settings of a service that listens on a copy of ``sock``, which it closes itself."""
    return {"servers": (ListenerSettings(listen=FdAddress(os.dup(sock.fileno()))),)}


# In this process ---------------------------------------------------------------------------------


def test_an_inherited_socket_is_served_and_left_to_its_holder(
    serve: Callable[..., Service], listening: socket.socket
) -> None:
    for _ in range(2):
        service = serve(SCRIPT, **inherited(listening))
        assert service.server.listeners[0].url == f"http://127.0.0.1:{listening.getsockname()[1]}"
        with service.connect() as client:
            assert client.get("/async/1").body == b"1"
            assert isinstance(client.sock, socket.socket)
            assert client.sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) is not None
        assert service.stop()
        # Nobody accepts now, and yet nobody is refused: the next one will.
        with Client(listening.getsockname()) as waiting:
            waiting.send("GET /sync/2 HTTP/1.1\r\nHost: a\r\n\r\n")
            service = serve(SCRIPT, **inherited(listening))
            assert waiting.answer().body == b"2"
        assert service.stop()


def test_an_inherited_unix_socket_keeps_its_file(serve: Callable[..., Service], tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(path)
        service = serve(SCRIPT, **inherited(sock))
        listener = service.server.listeners[0]
        assert (listener.url, listener.port) == (f"unix:{path}", 0)
        with service.connect() as client:
            assert client.get("/async/1").body == b"1"
        assert service.stop()
        assert os.path.exists(path)


def test_an_adopted_socket_is_not_handed_to_what_the_script_starts(listening: socket.socket) -> None:
    number = os.dup(listening.fileno())
    os.set_inheritable(number, True)
    with adopt(FdAddress(number)) as sock:
        assert sock.fileno() == number
        assert not os.get_inheritable(number)
        assert sock.gettimeout() == 0.0


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("file", "Socket operation on non-socket"),
        ("datagrams", "it is no stream socket"),
        ("connection", "it is one client's connection, not a listening socket"),
        ("nothing", "Bad file descriptor"),
    ],
)
def test_what_is_no_listening_socket_stops_the_start(
    listening: socket.socket, tmp_path: Path, kind: str, message: str
) -> None:
    before = len(os.listdir("/proc/self/fd"))
    with (
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        socket.create_connection(listening.getsockname()) as connection,
        (tmp_path / "file").open("wb") as file,
    ):
        number = {
            "file": file.fileno(),
            "datagrams": datagrams.fileno(),
            "connection": connection.fileno(),
            "nothing": 9_999,
        }[kind]
        given = number if kind == "nothing" else os.dup(number)
        with pytest.raises(StartError, match=f"cannot listen on fd:{given}: .*{message}"):
            Service(SCRIPT, tmp_path / "script", servers=(ListenerSettings(listen=FdAddress(given)),)).start()
        if kind == "file":
            os.close(given)  # a descriptor that was no socket is nobody's to close
    assert len(os.listdir("/proc/self/fd")) == before


# As processes ------------------------------------------------------------------------------------


def test_an_option_names_the_descriptor(listening: socket.socket, tmp_path: Path) -> None:
    write(tmp_path, "app.py", SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as second:
        numbers = [listening.fileno(), second.fileno()]
        options = [part for number in numbers for part in ("--fd", str(number))]
        with Command("app.py", *options, cwd=tmp_path, pass_fds=numbers).started() as command:
            assert command.ports == [listening.getsockname()[1], second.getsockname()[1]]
            for number in (0, 1):
                assert command.connect(number).get("/async/1").status == 200


def test_a_descriptor_that_is_not_there_exits_with_3(tmp_path: Path) -> None:
    write(tmp_path, "app.py", SCRIPT)
    ended = run("app.py", "--fd", "77", cwd=tmp_path)
    assert (ended.returncode, ended.stderr) == (3, "cannot listen on fd:77: Bad file descriptor\n")
    assert run("app.py", "--fd", "x", cwd=tmp_path).returncode == 2


AS_SYSTEMD_DOES = """
import os, sys
if sys.argv[1] != "3":
    os.dup2(int(sys.argv[1]), 3)
os.set_inheritable(3, True)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": "1", "LISTEN_FDNAMES": "public"}
os.execv(sys.argv[2], sys.argv[2:])
"""
SHOWS_VARIABLES = """
import os
from siphon import http

@http.route("/")
async def left(req):
    return http.Response(body=" ".join(name for name in os.environ if name.startswith("LISTEN_")))
"""


def test_a_socket_from_systemd_is_served_under_its_name(listening: socket.socket, tmp_path: Path) -> None:
    write(tmp_path, "app.py", SHOWS_VARIABLES)
    write(
        tmp_path, "http.yaml", "servers:\n- {listen: '127.0.0.1:0'}\n- {name: public, server_header: false}"
    )
    prefix = [sys.executable, "-c", AS_SYSTEMD_DOES, str(listening.fileno())]
    with Command("app.py", cwd=tmp_path, prefix=prefix, pass_fds=[listening.fileno()]).started() as command:
        assert command.ports[1] == listening.getsockname()[1]
        answer = command.connect(1).get("/")
        assert (answer.body, answer.get("server")) == (b"", None)


# Rolling restart ---------------------------------------------------------------------------------


def test_a_rolling_restart_under_load_loses_no_request(listening: socket.socket, tmp_path: Path) -> None:
    """Each generation begins on the inherited socket while the one before still serves, and then stops."""
    write(tmp_path, "app.py", SCRIPT)
    number = listening.fileno()
    options = ("--fd", str(number))
    clients = Clients(listening.getsockname(), 16)
    try:
        with Generations(tmp_path, options, pass_fds=[number]) as generations:
            for _ in range(3):
                before = sum(clients.answered)
                generations.replace()
                assert sum(clients.answered) > before
            clients.stop()
    finally:
        clients.stop()
    assert not clients.lost
    assert min(clients.answered) > 3
    assert sum(clients.connected) > 16 + 3 * 8  # the keepers have moved on, each time


def test_the_socket_may_be_its_standard_input(listening: socket.socket, tmp_path: Path) -> None:
    """As inetd starts a service that waits."""
    write(tmp_path, "app.py", SCRIPT)
    process = subprocess.Popen(
        [sys.executable, "-m", "siphon", "app.py", "--fd", "0"],
        cwd=tmp_path,
        env=environment(),
        stdin=listening.fileno(),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        with Client(listening.getsockname()) as client:
            assert client.get("/async/1").body == b"1"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
