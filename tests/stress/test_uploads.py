"""A crowd that uploads as much as it may, all at once: memory stays bounded, and each is answered."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from tests.command import PORT_0, Command, write
from tests.stress.load import Background, Load, Peer, Received

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

pytestmark = pytest.mark.stress

SCRIPT = """
from siphon import http

@http.route("/", methods=["POST"])
async def size(req):
    return http.Response(body=str(len(req.body())))
"""
MIB: Final = 1 << 20
PIECE: Final = b"x" * 65_536


class Crowd:
    """Knows when every upload has come as far as it will, and the server has refused all but ``room``.

    None may end before that: what it counted for would be another's.
    """

    def __init__(self, size: int, room: int) -> None:
        self._missing = size
        self._room = room
        self._waiting: list[Upload] = []
        self.answers: Counter[int] = Counter()

    def arrived(self, upload: Upload) -> None:
        """Called once by each: all but one byte is sent, or it has been refused."""
        self._missing -= 1
        self._waiting.append(upload)
        self.look()

    def look(self) -> None:
        """Lets those end that are left, if no more of them than there is room for are."""
        left = [one for one in self._waiting if not one.answered]
        if not self._missing and len(left) <= self._room:
            self._waiting.clear()
            for one in left:
                one.send(b"x")


class Upload(Peer):
    """Sends all of its body but one byte, waits for the others, and sends that."""

    def __init__(self, load: Load, crowd: Crowd, size: int, *, chunked: bool) -> None:
        self._crowd = crowd
        self._chunked = chunked
        self._size = size
        self._left = size - 1
        self.answered = False
        super().__init__(load)

    def begin(self) -> None:
        length = "Transfer-Encoding: chunked" if self._chunked else f"Content-Length: {self._size}"
        head = f"POST / HTTP/1.1\r\nHost: test\r\n{length}\r\n\r\n".encode()
        self.send(head + (b"%x\r\n" % self._size if self._chunked else b""))

    def send(self, data: bytes) -> None:
        """As ``Peer.send``; the last byte of a chunked body is followed by its end."""
        super().send(data + (b"\r\n0\r\n\r\n" if self._chunked and data == b"x" else b""))

    def flush(self) -> None:
        super().flush()
        while self._left and not (self._outgoing or self.ended or self.answered):
            self._outgoing = PIECE[: self._left]
            self._left -= len(self._outgoing)
            super().flush()
            if not self._left:
                self._crowd.arrived(self)

    def on_answer(self, answer: Received) -> None:
        assert answer.status == 503 or answer == Received(200, str(self._size).encode()), answer
        self._crowd.answers[answer.status] += 1
        self.answered = True
        if self._left:
            self._crowd.arrived(self)
            self._left = 0
        else:
            self._crowd.look()
        self.close()

    def on_end(self, error: OSError | None) -> None:
        assert self.answered, error


def peak_bytes(command: Command) -> int:
    """The most memory that a process has had resident."""
    with open(f"/proc/{command.process.pid}/status", encoding="ascii") as status:
        lines = dict(line.split(":", 1) for line in status)
    return int(lines["VmHWM"].split()[0]) * 1_024


@pytest.mark.parametrize("chunked", [False, True], ids=["by length", "chunked"])
def test_a_crowd_that_uploads_to_the_cap_at_once_takes_no_more_than_is_allowed(
    tmp_path: Path, note: Callable[..., None], full: bool, chunked: bool
) -> None:
    clients, cap, allowed = (1_000, MIB, 64 * MIB) if full else (120, MIB // 4, 8 * MIB)
    write(tmp_path, "app.py", SCRIPT)
    write(tmp_path, "http.yaml", f"{{max_buffered_bytes: {allowed}, servers: [{{max_body_bytes: {cap}}}]}}")
    with Command("app.py", *PORT_0, cwd=tmp_path).started() as command:
        command.connect().get("/")
        before = peak_bytes(command)
        load = Load(("127.0.0.1", command.ports[0]))
        # Not much more than is allowed: each recv, and the room that a buffer grows by.
        crowd = Crowd(clients, allowed // cap + clients // 10)
        for _ in range(clients):
            Upload(load, crowd, cap, chunked=chunked)
        Background(load).join()
        grown = peak_bytes(command) - before
        served = crowd.answers[200]
        note(served=served, refused=crowd.answers[503], grown_mib=grown // MIB, allowed_mib=allowed // MIB)
        assert crowd.answers.total() == clients
        # What was allowed has been used.
        assert served >= 0.8 * allowed // cap
        assert grown < 1.5 * allowed + 32 * MIB
        assert command.connect().get("/", method="POST", body=b"x" * cap).body == str(cap).encode()
