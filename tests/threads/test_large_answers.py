"""Answers whose bodies are not copied behind their heads: wherever the socket stops, all is sent once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from siphon.config.settings import ListenerSettings, ThreadSettings
from siphon.testing.exchange import MemorySocket
from siphon.testing.server import make_site
from siphon.threads.buffered import BufferedBytes
from siphon.threads.channel import Cleartext
from siphon.threads.connection import OWNER_NEEDED, SENT, Connection
from siphon.threads.lanes import Lanes
from siphon.wire.states import RUNNING
from tests.client import request

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.batch import Batch
    from siphon.threads.exchange import Exchange
    from tests.service import Service

SCRIPT = """
    from siphon import http

    @http.route("/{size}")
    async def big(req):
        size = int(req.path_params["size"])
        return http.Response(body=(b"%015d\\n" * (size // 16)) % tuple(range(size // 16)))
"""


class NarrowSocket(MemorySocket):
    """Takes as many bytes of each send as it has been told, and is full where that is none."""

    def __init__(self, takes: list[int]) -> None:
        super().__init__()
        self._takes = takes

    def send(self, data: bytes | memoryview) -> int:
        taken = self._takes.pop(0) if self._takes else len(data)
        if not taken:
            raise BlockingIOError
        return super().send(data[:taken])


class Nobody:
    """A connection's owner that has nothing to do with it."""

    draining = False
    lanes = Lanes(ThreadSettings(), access_log=False, dev=False)

    def kick(self, connection: Connection) -> None:
        """Whoever is here flushes already."""

    def take_back(self, handed_over: Batch | Exchange) -> None:
        """Nothing has been handed over."""


SITE = make_site(ListenerSettings(), [], [], BufferedBytes(0))
HEAD = bytes(range(10))
BODY = bytes(range(10, 40))


@given(st.lists(st.integers(0, len(HEAD) + len(BODY) + 1), max_size=12))
def test_a_body_follows_its_head_wherever_the_socket_stops(takes: list[int]) -> None:
    sock = NarrowSocket(takes)
    connection = Connection(Cleartext(sock), "unix:0", SITE, Nobody(), 0.0)
    connection.state = RUNNING
    verdict = connection.answer(None, HEAD, True, 0.0, BODY)
    while verdict == OWNER_NEEDED:
        verdict = connection.flush()
    assert verdict == SENT
    assert sock.sent == HEAD + BODY


def test_large_answers_one_behind_the_other_reach_a_client_that_reads_late(
    serve: Callable[..., Service],
) -> None:
    service = serve(SCRIPT)
    sizes = (8_000_000, 65_536, 16, 65_520, 1_000_000, 200_000)
    with service.connect() as slow:
        # The second one finds the socket full of the first.
        slow.send(b"".join([request(f"/{size}") for size in sizes]))
        with service.connect() as other:
            other.get("/16")
        for size in sizes:
            assert slow.answer().body == b"".join([b"%015d\n" % line for line in range(size // 16)])
