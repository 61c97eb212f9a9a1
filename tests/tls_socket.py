"""A client's TLS connection in the shape of a socket, with both halves of its end in the test's hands."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class TlsSocket:
    """TLS over a connected socket. ``shutdown`` sends close_notify without FIN; ``raw`` is the socket itself.

    The ``ssl`` module's own socket cannot go on reading after its close_notify, and hides the server's.
    """

    def __init__(self, raw: socket.socket, context: ssl.SSLContext, host: str | None = "localhost") -> None:
        """Shakes hands, naming ``host`` to the server; raises ssl.SSLError where that fails."""
        self.raw = raw
        self.close_notify_received = False
        self._read_ahead = b""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
        self._do(self.tls.do_handshake)

    def _do[T](self, action: Callable[..., T], *arguments: Any) -> T:
        """Does it, sending and reading as it asks for; raises EOFError at the end of the connection."""
        while True:
            try:
                result = action(*arguments)
            except ssl.SSLWantReadError:
                self._flush()
                self._feed()
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush()
                raise
            else:
                self._flush()
                return result

    def _flush(self) -> None:
        if self._outgoing.pending:
            self.raw.sendall(self._outgoing.read())

    def _feed(self) -> None:
        data = self.raw.recv(65_536)
        if not data:
            raise EOFError("the server closed the connection without a word")
        self._incoming.write(data)

    def sendall(self, data: bytes) -> None:
        """Encrypts and sends."""
        self._do(self.tls.write, data) if data else None

    def recv(self, size: int) -> bytes:
        """Plaintext; empty after close_notify and after a bare FIN: ``close_notify_received`` tells."""
        if self._read_ahead:
            data, self._read_ahead = self._read_ahead[:size], self._read_ahead[size:]
            return data
        try:
            data = self._do(self.tls.read, size)
        except ssl.SSLZeroReturnError:
            data = b""
        except EOFError:
            return b""
        if not data:
            self.close_notify_received = True
        return data

    def seal(self, data: bytes) -> bytes:
        """The records of ``data``, for the test to send as it likes."""
        self.tls.write(data)
        return self._outgoing.read()

    def unseal(self, records: bytes) -> bytes:
        """The plaintext of records that the test has read; ``close_notify_received`` may be true after it."""
        self._incoming.write(records)
        parts = []
        try:
            while part := self.tls.read(65_536):
                parts.append(part)
            self.close_notify_received = True
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLZeroReturnError:
            self.close_notify_received = True
        return b"".join(parts)

    def seal_end(self) -> bytes:
        """The record of a close_notify, for the test to send as it likes."""
        with contextlib.suppress(ssl.SSLError):  # it also looks for the server's
            self.tls.unwrap()
        return self._outgoing.read()

    def shutdown(self, how: int) -> None:
        """Sends close_notify, and no FIN."""
        assert how == socket.SHUT_WR
        # What has come and has not been read OpenSSL drops when it looks for the server's close_notify.
        self._read_ahead += self.unseal(b"")
        self.raw.sendall(self.seal_end())

    def settimeout(self, timeout_s: float | None) -> None:
        """As of a socket."""
        self.raw.settimeout(timeout_s)

    def setsockopt(self, *option: Any) -> None:
        """As of a socket."""
        self.raw.setsockopt(*option)

    def getsockname(self) -> Any:
        """As of a socket."""
        return self.raw.getsockname()

    def getpeername(self) -> Any:
        """As of a socket."""
        return self.raw.getpeername()

    def fileno(self) -> int:
        """As of a socket."""
        return self.raw.fileno()

    def close(self) -> None:
        """Closes the socket without a close_notify."""
        self.raw.close()


def client_hello(context: ssl.SSLContext, host: str | None = "localhost") -> bytes:
    """The first bytes of a handshake."""
    outgoing = ssl.MemoryBIO()
    with contextlib.suppress(ssl.SSLWantReadError):
        context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=host).do_handshake()
    return outgoing.read()
