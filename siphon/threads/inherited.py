"""A listening socket that this process was started with, by a supervisor or by systemd."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from siphon.errors import StartError

if TYPE_CHECKING:
    from siphon.config.settings import FdAddress

_FAMILIES = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)


def adopt(address: FdAddress) -> socket.socket:
    """Takes over the descriptor of a bound stream socket. Main thread, before the listener is used.

    Other processes may hold the same socket: closing it here takes it from none of them. Processes
    that the script starts do not inherit it. Raises StartError where it is no such socket.
    """
    try:
        sock = socket.socket(fileno=address.number)
    except OSError as error:
        raise StartError(f"cannot listen on {address}: {error.strerror}") from error
    try:
        _check(sock, address)
        os.set_inheritable(sock.fileno(), False)
        sock.setblocking(False)
        if sock.family != socket.AF_UNIX:
            # Inherited by what it accepts, as on sockets that siphon binds itself.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    except BaseException:
        sock.close()
        raise
    return sock


def _check(sock: socket.socket, address: FdAddress) -> None:
    if sock.type != socket.SOCK_STREAM or sock.family not in _FAMILIES:
        raise StartError(f"cannot listen on {address}: it is no stream socket for TCP or a unix-domain path")
    try:
        sock.getpeername()
    except OSError:
        return  # nobody is at its other end, as it should be
    raise StartError(
        f"cannot listen on {address}: it is one client's connection, not a listening socket; "
        "a systemd socket unit needs Accept=no"
    )
