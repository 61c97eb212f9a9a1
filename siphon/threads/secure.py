"""The acceptor of listeners that speak TLS: the same work and that of TLS, on a thread of its own."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Final

from siphon.messages import plain
from siphon.threads.acceptor import Acceptor
from siphon.threads.poller import READABLE
from siphon.threads.tls import Failure, Tls
from siphon.wire.proxied import is_believed
from siphon.wire.states import BODY, CLOSED, HEAD, IDLE, SENDING

if TYPE_CHECKING:
    from collections.abc import Callable

    from siphon.threads.connection import Connection
    from siphon.threads.lanes import Lanes
    from siphon.threads.listener import Listener

_BEFORE_AN_ANSWER: Final = frozenset({IDLE, HEAD, BODY})


class SecureAcceptor(Acceptor):
    """An acceptor whose connections speak TLS. Who may call what is as with any other.

    A worker's answer comes as plaintext with a kick. A step of a handshake costs as much as ten
    requests, so there is one a turn, behind everything that established connections want: however
    many clients come at once, those that are there are served.
    """

    kind = "secure"
    lends = False  # a step of a handshake or of a cipher takes its time: not on a loop
    accepts_a_turn = 16

    def __init__(
        self, number: int, listeners: list[Listener], lanes: Lanes, drained: Callable[[Acceptor], None]
    ) -> None:
        super().__init__(number, listeners, lanes, drained)
        self._poll = self._poll_established_first
        # Connections whose handshake can go on, in the order in which they came; not watched meanwhile.
        self._shaking_hands: deque[Connection] = deque()

    def _poll_established_first(self, timeout_s: float | None) -> list[tuple[int, int]]:
        """What is ready, without the handshakes but for one at the end."""
        waiting = self._shaking_hands
        connections = self.connections
        ready = []
        for event in self._poller.poll(0 if waiting else timeout_s):
            fd = event[0]
            if fd not in connections or tls_of(connections[fd]).established:
                ready.append(event)
            elif connections[fd].watched:
                connections[fd].watched = 0
                self._poller.modify(fd, 0)
                waiting.append(connections[fd])
        if waiting:
            # It may be closed by now, and its descriptor another's: then there is nothing to read.
            ready.append((waiting.popleft().fd, READABLE))
        return ready

    def _read(self, connection: Connection) -> None:
        tls = tls_of(connection)
        super()._read(connection)
        failure, tls.failure = tls.failure, None
        if failure is not None:
            self._count_turned_away(connection, failure.fault)
        if connection.state == CLOSED:
            return
        if tls.proxied_peer is not None:
            peer, tls.proxied_peer = tls.proxied_peer, None
            if is_believed(connection.peer, connection.listener.settings.trusted_proxies):
                connection.peer = peer
        if failure is not None:
            self._end_broken(connection, failure)
        elif tls.end_of_input and not connection.end_of_input:
            # The client's close_notify came right behind a request: the socket will not tell.
            self._end_of_input(connection)
        else:
            self._watch(connection)

    def _look_at_deadline(self, connection: Connection) -> None:
        in_handshake = connection.state == IDLE and not tls_of(connection).established
        super()._look_at_deadline(connection)
        # A stop gives them less time than they may have had left.
        if in_handshake and connection.state == CLOSED and not self.draining:
            self._count_turned_away(connection, "handshake_timeout")

    def _attend(self, connection: Connection) -> None:
        if connection.state == SENDING and not connection.broken:
            self._flush(connection)
        else:
            super()._attend(connection)

    def _end_broken(self, connection: Connection, failure: Failure) -> None:
        """What the client sends is no TLS, or none that is wanted. OpenSSL's alert, if any, has been sent."""
        if connection.state not in _BEFORE_AN_ANSWER:
            self.close_connection(connection)
            return
        data, why = b"", f"a TLS connection has failed: {failure.why}"
        if failure.fault == "plain_http":
            response = plain(400, "this port speaks TLS: use https\n")
            server_header = connection.listener.server_header
            data, _, _ = self._encoder.encode(response, "", 1, False, server_header, self.now)
            why = "a client speaks plain HTTP to this port, which is TLS"
        self._turn_away(connection, data, why)
        if connection.state != CLOSED:
            self._watch(connection)


def tls_of(connection: Connection) -> Tls:
    """The channel of one of this thread's connections."""
    channel = connection.channel
    assert isinstance(channel, Tls)
    return channel
