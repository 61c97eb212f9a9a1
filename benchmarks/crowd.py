"""Connections that hold a server's attention and ask for nothing."""

from __future__ import annotations

import resource
import socket
from dataclasses import dataclass
from typing import Self

_REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
_HALF_A_HEAD = b"GET / HTTP/1.1\r\nHost: loc"

_OTHER_DESCRIPTORS = 256


@dataclass(frozen=True, slots=True)
class CrowdSize:
    """``idle`` connections have had one answer and wait; ``unfinished`` ones have sent half a head."""

    idle: int
    unfinished: int = 0

    @property
    def total(self) -> int:
        """How many connections there are."""
        return self.idle + self.unfinished


class Crowd:
    """The connections, open for as long as the context lasts."""

    def __init__(self, size: CrowdSize, port: int) -> None:
        self._size = size
        self._address = ("127.0.0.1", port)
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if limit < self._size.total + _OTHER_DESCRIPTORS:
            raise SystemExit(
                f"{self._size.total} connections need as many descriptors, and there are {limit}"
            )
        try:
            self._gather()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _gather(self) -> None:
        for _ in range(self._size.idle):
            sock = self._connect()
            sock.sendall(_REQUEST)
            received = b""
            while not received.endswith(b"ok"):
                try:
                    data = sock.recv(4_096)
                except TimeoutError:
                    raise SystemExit(f"connection {len(self._sockets):,} is not answered") from None
                if not data:
                    raise SystemExit(f"a connection that was to stay idle was closed after {received!r}")
                received += data
        for _ in range(self._size.unfinished):
            self._connect().sendall(_HALF_A_HEAD)

    def _connect(self) -> socket.socket:
        try:
            sock = socket.create_connection(self._address, 10)
        except OSError as error:
            raise SystemExit(f"connection {len(self._sockets) + 1:,} is not accepted: {error}") from None
        self._sockets.append(sock)
        return sock

    def __exit__(self, *exception: object) -> None:
        for sock in self._sockets:
            sock.close()

    def check(self) -> None:
        """Raises SystemExit if the server has closed or answered one of them."""
        gone = sum(not _is_quiet(sock) for sock in self._sockets)
        if gone:
            raise SystemExit(f"{gone} of {len(self._sockets)} idle connections were closed during the round")


def _is_quiet(sock: socket.socket) -> bool:
    sock.setblocking(False)
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False  # reset
    return False


def raise_descriptor_limit() -> None:
    """Allows this process, and the servers it starts, as many descriptors as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
