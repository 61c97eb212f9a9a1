"""Has connections lent, to loops or to runners, on a machine that may be busy."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.stress.leaks import wait_until

if TYPE_CHECKING:
    from siphon.threads.lending import Lending
    from tests.client import Client
    from tests.service import Service


def is_lent(lending: Lending, client: Client) -> bool:
    """Whether the connection of ``client`` is lent by ``lending``."""
    host, port = client.sock.getsockname()
    lent = [connection.peer for one in lending._lent for connection in one.reader.connections.copy().values()]
    return f"{host}:{port}" in lent


def ask_until_lent(service: Service, lending: Lending, clients: tuple[Client, ...]) -> None:
    """Has ``clients`` ask for ``/`` in turns until all of them are lent at once.

    One that is held up by other processes may seem to wait for something: all is recalled then, and lent a
    while later, in which none of them may be idle for long. Where there is room for few requests, one that
    comes as soon as others have been answered may be refused: their threads may not be done with them.
    """
    good = {200, 503} if service.settings.threads.max_in_flight <= len(clients) else {200}

    def asks() -> bool:
        assert {client.get("/").status for client in clients} <= good
        return all(is_lent(lending, client) for client in clients)

    assert wait_until(asks, within_s=30, every_s=0.001)
