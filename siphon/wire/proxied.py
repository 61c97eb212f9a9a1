"""The bytes of a connection that begins with a PROXY header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from siphon.forwarded import is_trusted_peer
from siphon.wire.incoming import Incoming
from siphon.wire.proxy import read_header

if TYPE_CHECKING:
    from siphon.config.settings import Network
    from siphon.wire.budget import Budget
    from siphon.wire.head import RequestHead, WireLimits


class Peered(Protocol):
    """Whatever has a peer that the header may correct."""

    peer: str


def is_believed(peer: str, trusted: tuple[Network, ...]) -> bool:
    """Whether a PROXY header that comes from ``peer`` counts: anybody's, or the trusted proxies' alone."""
    return not trusted or is_trusted_peer(peer, trusted)


class ProxiedIncoming(Incoming):
    """Takes the PROXY header off the front, and tells the connection who its client is.

    Where the listener trusts certain proxies only, another peer's header is read as well, since the
    client's bytes begin behind it, but nothing in it is believed.
    """

    __slots__ = ("_believed", "_connection", "_header")

    def __init__(
        self, limits: WireLimits, budget: Budget, connection: Peered, trusted: tuple[Network, ...]
    ) -> None:
        super().__init__(limits, budget)
        self._connection = connection
        self._believed = is_believed(connection.peer, trusted)
        # What has come of the header; None once it is whole.
        self._header: bytes | None = b""

    def receive(self, data: bytes) -> RequestHead | None:
        """As ``Incoming.receive``; a connection without the header is refused with RequestRefused."""
        if self._header is None:
            return super().receive(data)
        buffer = self._header + data
        header = read_header(buffer)
        if header is None:
            self._header = buffer
            return None
        self._header = None
        if header.peer is not None and self._believed:
            self._connection.peer = header.peer
        return super().receive(buffer[header.end :])

    @property
    def begun(self) -> bool:
        """Whether anything of the header or of a next request is there."""
        return bool(self._header) or super().begun
