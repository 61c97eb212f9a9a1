"""TLS over a connection's socket: the handshake, records in and out, and an orderly end."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING, Final, NamedTuple

from siphon.client_certificate import ClientCertificate, read_certificate
from siphon.config.certificates import in_words
from siphon.errors import RequestRefused
from siphon.threads.channel import queued_in
from siphon.wire.proxy import read_header

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.threads.channel import Bytes
    from siphon.threads.tally import Fault

# Four records: one connection's share of a turn.
_CHUNK_BYTES: Final = 65_536
_RECORD_BYTES: Final = 16_384
# Past a chunk only answers to the client's own demands wait here, such as fresh keys: enough is enough.
_UNSENT_MAX_BYTES: Final = 2 * _CHUNK_BYTES
# The first byte of a handshake; that of a cleartext request is a letter.
_HANDSHAKE: Final = 0x16


class Failure(NamedTuple):
    """What is wrong with what a client has sent: ``why`` in words, ``fault`` as it is counted."""

    why: str
    fault: Fault


class Tls:
    """The channel of a connection that speaks TLS.

    Everything belongs to the connection's owner, the only thread to touch the SSL object; ``send``
    alone may be called by others, and does nothing but leave the bytes to the owner.
    """

    __slots__ = (
        "_closing",
        "_context",
        "_covered_bytes",
        "_deaf",
        "_header",
        "_incoming",
        "_outgoing",
        "_ssl",
        "_unsent",
        "client_certificate",
        "end_of_input",
        "established",
        "failure",
        "proxied_peer",
        "sock",
    )

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, *, proxied: bool) -> None:
        """``proxied``: a PROXY header comes before the handshake, in cleartext."""
        self.sock = sock
        self._context = context
        self._header: bytes | None = b"" if proxied else None
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        # Made with the client's first bytes: one that is silent costs 9 KiB less.
        self._ssl: ssl.SSLObject | None = None
        # Records that the socket has not taken yet, and how much of the plaintext given to ``transmit``
        # is in them.
        self._unsent = b""
        self._covered_bytes = 0
        # TLS is over, or broken: no more is decrypted or encrypted.
        self._deaf = False
        # FIN goes out behind the last record.
        self._closing = False
        self.established = False
        self.end_of_input = False
        # Why the connection cannot go on, once it cannot.
        self.failure: Failure | None = None
        self.proxied_peer: str | None = None
        self.client_certificate: ClientCertificate | None = None

    @property
    def blocked(self) -> bool:
        """Whether records wait for room in the socket."""
        return bool(self._unsent)

    def queued_bytes(self) -> int:
        """What the system has of the records: that one shrinks is all that is asked of it."""
        return queued_in(self.sock)

    # Reading -----------------------------------------------------------------------------------

    def recv(self, size: int) -> bytes:
        """Plaintext; empty at the end of input. Raises BlockingIOError where there is none yet.

        All that has come is decrypted: the poller knows nothing of bytes that have left the socket.
        So ``end_of_input`` may be true, and ``failure`` may be set, when this returns or raises.
        """
        if self._unsent:
            self._push()
        data = self.sock.recv(size)
        if not data or self._deaf:
            self.end_of_input = not data
            return data
        plaintext = b""
        try:
            plaintext = self._take(data)
        except ssl.SSLWantReadError:
            pass
        except ssl.SSLError as error:
            self._fail(in_words(error), "bad_record" if self.established else "handshake_failed")
        except RequestRefused:
            self._fail("no valid PROXY header", "proxy_header")
        if self._outgoing.pending:
            self._push()
            if len(self._unsent) > _UNSENT_MAX_BYTES:
                raise ConnectionAbortedError("the client makes demands and does not read")
        if not plaintext and not self.end_of_input:
            raise BlockingIOError
        return plaintext

    def _take(self, data: bytes) -> bytes:
        if self._header is not None:
            data = self._take_header(data)
        if not data:
            return b""
        if self._ssl is None:
            if data[0] != _HANDSHAKE:
                if 0x41 <= data[0] <= 0x5A:
                    self._fail("plain HTTP", "plain_http")
                else:
                    self._fail("what is no TLS", "not_tls")
                return b""
            self._ssl = self._context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._incoming.write(data)
        if not self.established:
            self._shake_hands(self._ssl)
        return self._decrypt(self._ssl)

    def _take_header(self, data: bytes) -> bytes:
        """Takes the PROXY header off the front; the rest. Raises RequestRefused."""
        buffer = (self._header or b"") + data
        header = read_header(buffer)
        if header is None:
            self._header = buffer
            return b""
        self._header = None
        self.proxied_peer = header.peer
        return buffer[header.end :]

    def _shake_hands(self, tls: ssl.SSLObject) -> None:
        tls.do_handshake()
        self.established = True
        der = tls.getpeercert(binary_form=True)
        if der is not None:
            self.client_certificate = read_certificate(tls.getpeercert() or {}, der)

    def _decrypt(self, tls: ssl.SSLObject) -> bytes:
        parts = []
        while self._incoming.pending or tls.pending():
            try:
                part = tls.read(_RECORD_BYTES)
            except ssl.SSLWantReadError:
                break
            except ssl.SSLZeroReturnError:
                part = b""
            if not part:
                # The client's close_notify: as a FIN, it may be half of the end.
                self.end_of_input = True
                break
            parts.append(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _fail(self, why: str, fault: Fault) -> None:
        self.failure = Failure(why, fault)
        self._deaf = True

    # Sending -----------------------------------------------------------------------------------

    def send(self, data: Bytes) -> int:
        """Leaves all of it to the owner, who must be told. Any thread."""
        return 0

    def send_parts(self, parts: Sequence[bytes]) -> int:
        """As ``send``."""
        return 0

    def transmit(self, data: Bytes) -> int:
        """Encrypts a chunk and sends it; how much has gone out whole, which may be nothing for now.

        BlockingIOError: the socket takes nothing. Until it has, it is to be called with the same bytes.
        """
        if not self._covered_bytes:
            chunk = data[:_CHUNK_BYTES]
            if self._deaf or self._ssl is None:
                self._unsent += bytes(chunk)
                self._covered_bytes = len(chunk)
            else:
                self._covered_bytes = self._ssl.write(chunk)
        progress = self._push()
        if self._unsent:
            if not progress:
                raise BlockingIOError
            return 0
        covered, self._covered_bytes = self._covered_bytes, 0
        return covered

    def send_aside(self, data: bytes) -> None:
        """Encrypts and sends; what the socket does not take goes ahead of the next answer."""
        if self._ssl is not None:
            self._ssl.write(data)
            self._push()

    def _push(self) -> int:
        """Sends records, as many bytes as the socket takes; that number. Raises OSError."""
        if self._outgoing.pending:
            self._unsent += self._outgoing.read()
        sent = 0
        if self._unsent:
            try:
                sent = self.sock.send(self._unsent)
            except BlockingIOError:
                return 0
            self._unsent = self._unsent[sent:]
        if self._closing and not self._unsent:
            self.sock.shutdown(socket.SHUT_WR)
        return sent

    # The end -----------------------------------------------------------------------------------

    def half_close(self) -> None:
        """Sends close_notify and FIN, at once or as soon as there is room. What comes is not decrypted."""
        self._say_goodbye()
        self._deaf = True
        self._closing = True
        self._push()

    def close(self) -> None:
        """Closes the socket, after a close_notify where there is room for one."""
        if not self._unsent:
            with contextlib.suppress(OSError):
                self._say_goodbye()
                self._push()
        self._ssl = None
        self.sock.close()

    def _say_goodbye(self) -> None:
        if self._ssl is None or self._deaf or not self.established:
            return
        # It writes ours, then looks for the client's: that may be still to come, or requests before it.
        with contextlib.suppress(ssl.SSLError):
            self._ssl.unwrap()
