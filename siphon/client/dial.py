"""Connecting to an upstream so that whoever stops waiting can end it in every phase."""

from __future__ import annotations

import os
import select
import socket
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from siphon.client.call import CONNECTING, LOOKING_UP

if TYPE_CHECKING:
    from siphon.client.call import Call
    from siphon.client.resolver import Address, Resolver

# How long an address may take while there are others to try.
_PATIENCE_S: Final = 1.0


class Plug:
    """A descriptor of its own for a connection, by which another thread shuts it down.

    It is a duplicate, made before ``connect``, so it stays this connection's whatever becomes of the
    number of the first one, and a pending connect is ended as well. It only ever shuts down: the
    connection's own thread closes, and an SSL object is never touched.
    """

    __slots__ = ("_duplicate",)

    def __init__(self, sock: socket.socket) -> None:
        self._duplicate = sock.dup()

    def interrupt(self) -> None:
        """Wakes whoever connects, reads or writes: they see the end of the stream. Any thread."""
        # Not connected yet, or not any more: nothing waits.
        with suppress(OSError):
            self._duplicate.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Lets go of the duplicate. The connection's own thread, when no call is attached to it."""
        self._duplicate.close()


def dial(call: Call, resolver: Resolver, host: str, port: int) -> tuple[socket.socket, Plug]:
    """A connected TCP socket, blocking, and its plug, which ``call`` is attached to.

    Addresses are tried in turn. Raises OSError with the last one's failure, CallEnded. An I/O thread.
    """
    call.phase = LOOKING_UP
    addresses = resolver.resolve(call, host, port)
    call.phase = CONNECTING
    failure: OSError | None = None
    for number, address in enumerate(addresses, 1):
        patience_s = None if number == len(addresses) else _PATIENCE_S
        try:
            return _connect(call, address, patience_s)
        except OSError as error:
            failure = error
    raise failure or OSError(f"{host} has no address")


def _connect(call: Call, address: Address, patience_s: float | None) -> tuple[socket.socket, Plug]:
    family, name = address
    sock = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
    plug: Plug | None = None
    try:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        plug = Plug(sock)
        # Begun before the call is attached: an end that comes first is seen there, and one that comes
        # later shuts down a connection that is on its way. Before ``connect`` a shutdown has no effect.
        with suppress(BlockingIOError):
            sock.connect(name)
        call.attach(plug)
        _await_connection(sock, patience_s)
        sock.setblocking(True)
    except BaseException:
        call.let_go()
        if plug is not None:
            plug.close()
        sock.close()
        raise
    return sock, plug


def _await_connection(sock: socket.socket, patience_s: float | None) -> None:
    poll = select.poll()
    poll.register(sock, select.POLLOUT)
    if not poll.poll(None if patience_s is None else patience_s * 1000):
        raise TimeoutError("the address does not answer")
    error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))
