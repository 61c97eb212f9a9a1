"""How a connection's bytes get to its socket and back: as they are here, through TLS in ``tls.py``."""

from __future__ import annotations

import socket
from struct import unpack
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from siphon.client_certificate import ClientCertificate

type Bytes = bytes | memoryview


class Socket(Protocol):
    """What a channel does with its socket: a client's, or one in memory. Neither blocks."""

    @property
    def recv(self) -> Callable[[int], bytes]: ...
    @property
    def send(self) -> Callable[[Bytes], int]: ...
    @property
    def sendmsg(self) -> Callable[[Sequence[bytes]], int]: ...
    def fileno(self) -> int: ...
    def shutdown(self, how: int, /) -> None: ...
    def close(self) -> None: ...


class Channel(Protocol):
    """What a connection needs of its socket. None but the owner calls it, except to send an answer."""

    @property
    def sock(self) -> Socket:
        """The socket itself."""
        ...

    @property
    def recv(self) -> Callable[[int], bytes]:
        """Reads, as ``socket.recv`` does. The owner."""
        ...

    @property
    def send(self) -> Callable[[Bytes], int]:
        """Sends what it can of an answer and says how much that was, as ``socket.send`` does.

        Any thread, under the connection's lock; what it leaves is for ``transmit``.
        """
        ...

    def send_parts(self, parts: Sequence[bytes]) -> int:
        """As ``send``, with an answer that is in several parts; as ``socket.sendmsg`` does."""
        ...

    @property
    def transmit(self) -> Callable[[Bytes], int]:
        """Sends what it can of what ``send`` has left. The owner.

        BlockingIOError: no progress. Otherwise it is called next with what it has not taken.
        """
        ...

    @property
    def blocked(self) -> bool:
        """Whether bytes of the channel's own wait for room in the socket. The owner."""
        ...

    def queued_bytes(self) -> int:
        """How much of what was sent the client's system has not taken yet. Any thread, under the lock."""
        ...

    @property
    def client_certificate(self) -> ClientCertificate | None:
        """What the client has shown of itself, under mutual TLS."""
        ...

    def send_aside(self, data: bytes) -> None:
        """Sends a few bytes of no answer, between two. The owner; raises OSError where that fails."""
        ...

    def half_close(self) -> None:
        """Says that nothing more will come; what is read from now on is for nobody. The owner."""
        ...

    def close(self) -> None:
        """Lets go of the socket. The owner, under the connection's lock."""
        ...


class Cleartext:
    """A socket and nothing else: ``recv``, ``send`` and ``transmit`` are the socket's own."""

    __slots__ = ("recv", "send", "sock", "transmit")

    blocked: Final = False
    client_certificate: Final = None

    def __init__(self, sock: Socket) -> None:
        self.sock = sock
        self.recv = sock.recv
        self.send = self.transmit = sock.send

    def send_parts(self, parts: Sequence[bytes]) -> int:
        """Sends what fits into the socket's buffer."""
        return self.sock.sendmsg(parts)

    def queued_bytes(self) -> int:
        """What the system has of it."""
        return queued_in(self.sock)

    def send_aside(self, data: bytes) -> None:
        """Sends them whole, or raises OSError: there is room in a socket from which nothing is awaited."""
        self.sock.send(data)

    def half_close(self) -> None:
        """Sends FIN."""
        self.sock.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Closes the socket."""
        self.sock.close()


def queued_in(sock: Socket) -> int:
    """How many bytes that were sent the other end's system has not taken; 0 where that cannot be told."""
    # Here, since few answers wait for their client.
    from fcntl import ioctl
    from termios import TIOCOUTQ

    try:
        return int(unpack("i", ioctl(sock.fileno(), TIOCOUTQ, bytes(4)))[0])
    except (OSError, ValueError):
        return 0
