"""A process that has run out of descriptors goes on with what it has."""

from __future__ import annotations

import resource
import socket
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from siphon.journal import journal
from tests.client import request
from tests.stress.leaks import open_descriptors, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.service import Service

SCRIPT = """
    from siphon import http

    @http.route("/")
    async def hello(req):
        return http.Response(body="hello")
"""


def test_without_descriptors_newcomers_wait_and_who_is_in_is_served(
    serve: Callable[..., Service], capfd: pytest.CaptureFixture[str]
) -> None:
    service = serve(SCRIPT)
    acceptor = service.server._acceptors[0]
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as stack:
        inside = stack.enter_context(service.connect())
        assert inside.get("/").body == b"hello"
        # Their own descriptors are taken beforehand: it is the server that will lack them.
        sockets = [stack.enter_context(socket.socket()) for _ in range(6)]
        resource.setrlimit(resource.RLIMIT_NOFILE, (open_descriptors() + 1, hard))
        try:
            for sock in sockets:
                sock.settimeout(10)
                sock.connect(("127.0.0.1", service.port))
                sock.sendall(request("/"))
            assert wait_until(lambda: bool(acceptor._admission._paused))
            for _ in range(20):
                assert inside.get("/").body == b"hello"
            # It is tried again every tick, and told once.
            sockets[-1].settimeout(0.35)
            with pytest.raises(TimeoutError):
                sockets[-1].recv(1)
            sockets[-1].settimeout(10)
            assert len(acceptor.connections) < 1 + len(sockets)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for sock in sockets:
            assert sock.recv(4_096).startswith(b"HTTP/1.1 200 ")
    assert journal.flush(5)
    log = capfd.readouterr().err
    assert log.count("cannot accept: Too many open files; newcomers wait in the backlog") == 1
    assert " error " not in log
