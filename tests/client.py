"""A raw HTTP client for tests: what is sent is up to the test, what comes back is parsed by h11."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import h11

from tests.tls_socket import TlsSocket

if TYPE_CHECKING:
    import ssl


@dataclass(frozen=True)
class Answer:
    """A response as h11 understood it."""

    status: int
    fields: list[tuple[str, str]]
    body: bytes
    interim: tuple[int, ...] = ()

    def get(self, name: str) -> str | None:
        """The value of the field ``name``; repeated ones joined with a comma."""
        values = [value for key, value in self.fields if key == name.lower()]
        return ", ".join(values) if values else None


class Client:
    """One connection. Reading raises TimeoutError after ``timeout_s`` and EOFError at an early end.

    ``tls``: the context to speak TLS with; ``sock`` is a ``TlsSocket`` then.
    """

    def __init__(
        self, address: tuple[str, int] | str, *, timeout_s: float = 30, tls: ssl.SSLContext | None = None
    ) -> None:
        if isinstance(address, str):
            family = socket.AF_UNIX
        else:
            family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        raw = socket.socket(family, socket.SOCK_STREAM)
        raw.settimeout(timeout_s)
        raw.connect(address)
        try:
            self.sock = raw if tls is None else TlsSocket(raw, tls)
        except BaseException:
            raw.close()
            raise
        self._buffer = b""

    @property
    def tls(self) -> TlsSocket:
        """The TLS that it speaks."""
        assert isinstance(self.sock, TlsSocket)
        return self.sock

    def send(self, data: bytes | str) -> Self:
        """Sends bytes as they are."""
        self.sock.sendall(data.encode("latin-1") if isinstance(data, str) else data)
        return self

    def get(self, target: str, *fields: str, method: str = "GET", body: bytes | None = None) -> Answer:
        """Sends one request and reads its answer; ``fields`` are whole lines."""
        self.send(request(target, *fields, method=method, body=body))
        return self.answer(method)

    def wait_for_answer(self) -> Self:
        """Waits for the first byte of an answer, and leaves it to ``answer``."""
        self._buffer += self.sock.recv(1)
        return self

    def answer(self, method: str = "GET") -> Answer:
        """Reads one answer; what follows it stays for the next."""
        peer = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        peer.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
        peer.send(h11.EndOfMessage())
        if self._buffer:  # h11 takes no bytes for the end of the connection
            peer.receive_data(self._buffer)
            self._buffer = b""
        interim: list[int] = []
        head: h11.Response | None = None
        parts: list[bytes] = []  # joined once: a large answer is not to be copied with each part of it
        while True:
            event = peer.next_event()
            if event is h11.NEED_DATA:
                data = self.sock.recv(65_536)
                if not data and head is None:
                    raise EOFError("the server closed before a whole answer")
                peer.receive_data(data)
            elif isinstance(event, h11.InformationalResponse):
                interim.append(event.status_code)
            elif isinstance(event, h11.Response):
                head = event
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
            elif isinstance(event, h11.EndOfMessage):
                break
            else:
                raise EOFError(f"the answer ended in {event!r}")
        self._buffer = peer.trailing_data[0]
        assert head is not None
        fields = [(name.decode(), value.decode("latin-1")) for name, value in head.headers]
        return Answer(head.status_code, fields, b"".join(parts), tuple(interim))

    def read_to_end(self) -> bytes:
        """Everything until the server closes its side."""
        parts, self._buffer = [self._buffer], b""
        while data := self.sock.recv(65_536):
            parts.append(data)
        return b"".join(parts)

    def half_close(self) -> Self:
        """Sends FIN, or close_notify over TLS, and goes on reading."""
        self.sock.shutdown(socket.SHUT_WR)
        return self

    def reset(self) -> None:
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def close(self) -> None:
        self.sock.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def request(target: str, *fields: str, method: str = "GET", body: bytes | None = None) -> bytes:
    """A request's bytes: Host and, with a body, Content-Length are added."""
    lines = [f"{method} {target} HTTP/1.1", "Host: test", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b"")
