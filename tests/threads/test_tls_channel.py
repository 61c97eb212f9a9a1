"""The channel alone, between two sockets: what it does while the other side takes nothing."""

from __future__ import annotations

import contextlib
import socket
import ssl
from typing import TYPE_CHECKING

import pytest

from siphon.config.certificates import server_context
from siphon.threads.tls import Tls

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.certificates import Certificates


class Pair:
    """A server's channel and a client's TLS at the two ends of a connection; neither blocks."""

    def __init__(self, certificates: Certificates) -> None:
        here, self.raw = socket.socketpair()
        for sock in (here, self.raw):
            sock.setblocking(False)
        self.channel = Tls(here, server_context(certificates.server_settings()), proxied=False)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = certificates.client_context()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname="localhost")

    def client_speaks(self) -> None:
        """Sends what the client has to say."""
        if self._outgoing.pending:
            self.raw.sendall(self._outgoing.read())

    def client_shakes_hands(self) -> None:
        """Takes the client's handshake as far as it goes."""
        with contextlib.suppress(ssl.SSLWantReadError):
            self.tls.do_handshake()
        self.client_speaks()

    def client_hears(self) -> bytes:
        """All that there is to read, undecrypted, which the client's TLS has then."""
        heard = b""
        with contextlib.suppress(BlockingIOError):
            while data := self.raw.recv(65_536):
                heard += data
        self._incoming.write(heard)
        return heard

    def server_reads(self) -> None:
        """Lets the channel read where no plaintext is expected."""
        with pytest.raises(BlockingIOError):
            self.channel.recv(65_536)

    def shake_hands(self) -> None:
        """The whole handshake."""
        self.client_shakes_hands()
        self.server_reads()
        self.client_hears()
        self.client_shakes_hands()
        self.server_reads()
        assert self.channel.established
        self.client_hears()

    def fill(self) -> int:
        """Fills the way to the client; how many bytes it took."""
        filled = 0
        while True:
            try:
                filled += self.channel.sock.send(bytes(4_096))
            except BlockingIOError:
                return filled

    def is_blocked(self) -> bool:
        """Whether the server's records wait for room."""
        return self.channel.blocked

    def drain(self, size: int) -> None:
        """Takes what ``fill`` has put there."""
        while size:
            size -= len(self.raw.recv(min(size, 65_536)))

    def plaintext(self) -> bytes:
        """What the client has heard, decrypted."""
        read = b""
        with contextlib.suppress(ssl.SSLWantReadError, ssl.SSLZeroReturnError):
            while part := self.tls.read(65_536):
                read += part
        return read


@pytest.fixture
def pair(certificates: Certificates) -> Iterator[Pair]:
    """A connection in memory."""
    made = Pair(certificates)
    yield made
    made.channel.close()
    made.raw.close()


def test_a_handshake_waits_for_room(pair: Pair) -> None:
    filled = pair.fill()
    pair.client_shakes_hands()
    pair.server_reads()
    assert pair.is_blocked()
    pair.drain(filled)
    pair.server_reads()
    assert not pair.is_blocked()
    pair.client_hears()
    pair.client_shakes_hands()
    pair.server_reads()
    assert pair.channel.established


def test_an_answer_is_sent_once_however_often_there_is_no_room(pair: Pair) -> None:
    pair.shake_hands()
    answer = memoryview(bytes(range(256)) * 10_000)
    unsent = answer
    heard = b""
    refused = 0
    while unsent:
        try:
            unsent = unsent[pair.channel.transmit(unsent) :]
        except BlockingIOError:
            refused += 1
            pair.client_hears()
            heard += pair.plaintext()
    pair.client_hears()
    assert heard + pair.plaintext() == answer
    assert refused


def test_a_few_bytes_aside_go_ahead_of_the_answer(pair: Pair) -> None:
    pair.shake_hands()
    filled = pair.fill()
    pair.channel.send_aside(b"aside")
    assert pair.is_blocked()
    with pytest.raises(BlockingIOError):
        pair.channel.transmit(b"answer")
    pair.drain(filled)
    assert pair.channel.transmit(b"answer") == 6
    pair.client_hears()
    assert pair.plaintext() == b"asideanswer"


def test_another_thread_s_send_leaves_everything(pair: Pair) -> None:
    pair.shake_hands()
    assert pair.channel.send(b"answer") == 0
    assert pair.client_hears() == b""


def test_fin_waits_for_the_close_notify_that_waits_for_room(pair: Pair) -> None:
    pair.shake_hands()
    filled = pair.fill()
    pair.channel.half_close()
    pair.drain(filled)
    with pytest.raises(BlockingIOError):
        pair.raw.recv(1)
    with pytest.raises(BlockingIOError):
        pair.channel.recv(65_536)
    pair.client_hears()
    assert pair.raw.recv(1) == b""
    assert pair.tls.read(1) == b""


def test_what_comes_after_the_last_answer_is_read_and_means_nothing(pair: Pair) -> None:
    pair.shake_hands()
    pair.channel.half_close()
    pair.tls.write(b"late")
    pair.client_speaks()
    assert pair.channel.recv(65_536) not in (b"", b"late")
    assert not pair.channel.end_of_input
    pair.raw.shutdown(socket.SHUT_WR)
    assert pair.channel.recv(65_536) == b""
    assert pair.channel.end_of_input


def test_an_answer_that_is_cut_short_does_not_end_like_a_whole_one(pair: Pair) -> None:
    pair.shake_hands()
    filled = pair.fill()
    with pytest.raises(BlockingIOError):
        pair.channel.transmit(b"half of an answer")
    pair.channel.close()
    pair.drain(filled)
    assert pair.raw.recv(1) == b""


def test_who_makes_demands_and_reads_nothing_is_cut_off(pair: Pair) -> None:
    """Each key update that a client asks for is answered; here the answers are put there by the test."""
    pair.shake_hands()
    pair.fill()
    pair.channel._outgoing.write(bytes(200_000))
    pair.tls.write(b"x")
    pair.client_speaks()
    with pytest.raises(ConnectionAbortedError, match="does not read"):
        pair.channel.recv(65_536)
