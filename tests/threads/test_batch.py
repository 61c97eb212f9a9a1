"""What is left of requests that have been answered: their bodies go at once, the rest with the next turn."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from siphon.threads.exchange import Exchange
from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.acceptor import Acceptor
    from siphon.threads.connection import Connection
    from tests.service import Service

SCRIPT = """
    from siphon import http

    @http.route("/async", methods=["POST"])
    async def asynchronous(req):
        return http.Response(body=str(len(req.body())))

    @http.route("/sync", methods=["POST"])
    def sync(req):
        return http.Response(body=str(len(req.body())))
"""


def only(service: Service) -> tuple[Acceptor, Connection]:
    """The acceptor, and its one connection."""
    (acceptor,) = service.server._acceptors
    (connection,) = acceptor.connections.values()
    return acceptor, connection


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_a_body_is_let_go_of_once_its_request_has_been_answered(
    serve: Callable[..., Service], monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    # Nor does the acceptor come by to look at the deadline.
    monkeypatch.setattr("siphon.threads.listener.LINGER_S", 60.0)
    service = serve(SCRIPT)
    with service.connect() as client:
        assert client.get(path, method="POST", body=b"x" * 100_000).body == b"100000"
        acceptor, connection = only(service)
        # Nothing happens any more that could wake the acceptor: who has worked on it drops it.
        assert wait_until(lambda: connection.exchange is None, 3.0)
        assert wait_until(lambda: service.server._lanes.in_flight() == 0)
        assert not acceptor._taken_back


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_an_idle_connection_keeps_nothing_of_its_last_request(
    serve: Callable[..., Service], path: str
) -> None:
    service = serve(SCRIPT, keep_alive_timeout_ms=60_000, header_timeout_ms=200)
    with service.connect() as client:
        assert client.get(path, method="POST", body=b"").body == b"0"
        acceptor, connection = only(service)
        assert wait_until(lambda: connection.exchange is None)
        assert wait_until(lambda: not acceptor._taken_back)
        assert client.get(path, method="POST", body=b"").body == b"0"


@pytest.mark.parametrize("path", ["/async", "/sync"])
def test_a_worker_at_rest_keeps_nothing_of_what_it_has_run(serve: Callable[..., Service], path: str) -> None:
    service = serve(SCRIPT)
    marker = b"of the worker at rest %s" % path.encode()
    with service.connect() as client:
        assert client.get(path, method="POST", body=marker).body == b"%d" % len(marker)
    assert wait_until(lambda: not kept(marker), 5.0)


def kept(body: bytes) -> list[Exchange]:
    """The exchanges with that body that are alive."""
    gc.collect()
    return [one for one in gc.get_objects() if type(one) is Exchange and one.body == body]
