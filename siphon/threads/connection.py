"""One client's connection: its socket, its state, and the one answer at a time that may be sent on it."""

from __future__ import annotations

import socket
import threading
from time import monotonic
from typing import TYPE_CHECKING, Final, Protocol

from siphon.messages import plain
from siphon.threads.listener import LINGER_S
from siphon.threads.tally import NONE
from siphon.wire.incoming import Incoming
from siphon.wire.proxied import ProxiedIncoming
from siphon.wire.states import (
    ANSWERED_LAST,
    ANSWERED_PARTLY,
    BODY,
    BODY_BEGUN,
    CLOSED,
    CLOSING,
    FLUSHED,
    FLUSHED_LAST,
    HEAD_BEGUN,
    IDLE,
    after,
)

if TYPE_CHECKING:
    from siphon.errors import RequestRefused
    from siphon.threads.batch import Batch
    from siphon.threads.channel import Channel
    from siphon.threads.exchange import Exchange
    from siphon.threads.lanes import Lanes
    from siphon.threads.listener import Site
    from siphon.threads.records import Records
    from siphon.wire.encode import Encoder

_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
# How long a drain waits for a client that may be about to send a request.
_DRAIN_PATIENCE_S: Final = 1.0

# Of an answer so much must be taken for its time to begin anew: who takes a byte now and then is cut off.
_PROGRESS_BYTES: Final = 16_384

TOO_SLOW: Final = "the request took too long to arrive"

# What became of an answer.
LATE: Final = 0  # somebody else had answered, or the client is gone
SENT: Final = 1
OWNER_NEEDED: Final = 2  # the owner has something left to do


class Owner(Protocol):
    """Whoever reads a connection, flushes and closes it: an acceptor, what it lends to, or a test."""

    @property
    def lanes(self) -> Lanes:
        """The workers that run what comes on the connection."""

    @property
    def draining(self) -> bool:
        """Whether no connection is kept after its answer any more. The owner's own."""

    def kick(self, connection: Connection) -> None:
        """Asks for a look at ``connection``. Any thread."""

    def take_back(self, handed_over: Batch | Exchange) -> None:
        """Gets what it has handed over and nobody needs any more, to drop it. Any thread."""


class Connection:
    """An HTTP/1 connection, over a channel that may be TLS.

    Its owner reads, flushes and closes: an acceptor, or the reader of a loop or a runner. Any other thread
    may call ``answer`` and ``kick_owner``, and nothing else.
    ``lock`` guards ``state``, ``exchange``, ``answered_at``, ``unsent``, ``kick_wanted``, ``broken``,
    ``end_of_input`` and the descriptor: whoever sends holds it, and so does the owner when it closes, so
    that nobody can write into a descriptor that has been given away. Under it there is one non-blocking
    send and no other I/O. The owner may look at ``state`` without it: the states that are
    its own nobody else leaves. Who becomes the owner sets ``owner``, when the last one has let go.
    """

    __slots__ = (
        "_delivered_bytes",
        "_hurried",
        "_send",
        "_transmit",
        "answered_at",
        "body_since",
        "broken",
        "channel",
        "deadline",
        "draining",
        "end_of_input",
        "exchange",
        "fd",
        "incoming",
        "keep_after_flush",
        "keep_alive_timeout_s",
        "kick_wanted",
        "listener",
        "lock",
        "owner",
        "peer",
        "reading",
        "recv",
        "requests_left",
        "scheme",
        "sent_bytes",
        "server_header",
        "slot",
        "state",
        "streak",
        "trusted_proxies",
        "unsent",
        "watched",
    )

    def __init__(self, channel: Channel, peer: str, listener: Site, owner: Owner, now: float) -> None:
        self.channel = channel
        # Looked up once: on 3.13t each attribute on the way costs 30 ns.
        self.recv = channel.recv
        self._send = channel.send
        self._transmit = channel.transmit
        self.fd = channel.sock.fileno()
        self.peer = peer
        self.listener, self.owner = listener, owner
        # Copies, since whatever all threads reach is counted by all of them: on 3.13t each look at the
        # listener or at a number of its own moves a cache line from one processor to the next.
        self.server_header = listener.server_header
        self.keep_alive_timeout_s = listener.keep_alive_timeout_s + 0.0
        self.scheme = listener.scheme
        self.trusted_proxies = listener.settings.trusted_proxies
        # The next answer is the last one. Set by the acceptor; in a drain before it looks who is idle.
        self.draining = owner.draining
        self.lock = threading.Lock()
        self.state = IDLE
        # The one that waits for its answer: who claims it takes it off.
        self.exchange: Exchange | None = None
        # In monotonic seconds. A deadline would be the owner's float, which another thread drops.
        self.answered_at = now
        # An answer that has not gone out whole, and how much of it has; see flush.
        self.unsent: bytes | None = None
        self.sent_bytes = self._delivered_bytes = 0
        self.keep_after_flush = False
        # The owner has kept input, or seen a FIN, or drains: it has something to do after the answer.
        self.kick_wanted = False
        # A send or a read has failed: the owner closes.
        self.broken = False
        # The client has sent FIN: it may have half-closed and still wait for its answer.
        self.end_of_input = False
        # The owner's own.
        settings = listener.settings
        self.incoming = (
            ProxiedIncoming(listener.limits, listener.buffered, self, settings.trusted_proxies)
            if settings.proxy_protocol and settings.tls is None
            else Incoming(listener.limits, listener.buffered)
        )
        # How many more may come; and those in a row that were for one lane, below 0 for workers: see Lending.
        self.requests_left, self.streak = listener.keep_alive_requests, 0
        self.reading = True
        # The events that its poller watches, and its slot on the wheel; -1 where they do not know it.
        self.watched = self.slot = -1
        self.body_since = now
        self._hurried = False
        # When the owner must act, in monotonic seconds, once that is settled; how depends on the state.
        self.deadline = now + listener.header_timeout_s

    def refuse(self, error: RequestRefused, encoder: Encoder, records: Records, method: str = "") -> int:
        """Answers what is no valid request, as its last answer. The owner alone; returns as ``answer``.

        ``encoder``, ``records``: the calling thread's. ``method``: the request's, where ``incoming`` has
        given it away already.
        """
        method = method or self.incoming.method
        self.incoming.discard()
        response = plain(error.status, f"{error.reason}\n", *error.fields)
        now = monotonic()
        data, large_body, _ = encoder.encode(response, method, 1, False, self.server_header, now)
        self.requests_left -= 1
        # In the order of Records.settle.
        if records.lines is not None:
            records.lines.add_refusal(self, response)
        if records.cells is not None:
            records.cells.answered(NONE, NONE, response.status, 0.0)
        return self.answer(None, data, False, now, large_body)

    def answer(
        self, exchange: Exchange | None, data: bytes, keep_alive: bool, now: float, large_body: bytes = b""
    ) -> int:
        """Claims ``exchange`` and sends its answer, ``data`` and ``large_body``: LATE, SENT or OWNER_NEEDED.

        ``exchange``: None for the owner's own answer to what is no request yet. ``now``: monotonic seconds.
        """
        lock = self.lock
        lock.acquire()  # a with statement takes 70 ns longer
        try:
            if exchange is None:
                if self.state == CLOSED or self.exchange is not None:
                    return LATE
            elif self.exchange is not exchange:  # answered by another, or the connection was closed
                return LATE
            else:
                self.exchange = None
            try:
                sent = self.channel.send_parts((data, large_body)) if large_body else self._send(data)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.broken = True
                return OWNER_NEEDED
            if large_body:
                if sent >= len(data):  # what is left is a part of the body, which is not copied
                    data, sent = large_body, sent - len(data)
                else:
                    data += large_body
            if sent < len(data):
                self.unsent = data
                self.sent_bytes = sent
                self._delivered_bytes = sent - self.channel.queued_bytes()
                self.keep_after_flush = keep_alive
                self.state = after(self.state, ANSWERED_PARTLY)
                self.deadline = now + self.listener.write_timeout_s
                return OWNER_NEEDED
            if not keep_alive:
                return self._linger(ANSWERED_LAST)
            self.state = IDLE  # as after ANSWERED: an exchange that was not claimed is RUNNING
            self.answered_at = now
            return OWNER_NEEDED if self.kick_wanted else SENT
        finally:
            lock.release()

    def _linger(self, event: str) -> int:
        """The last answer is sent: half-closes, and has the owner read until the client closes too.

        A reset would eat the answer (RFC 9112 section 9.6). ``lock`` is held.
        """
        self.state = after(self.state, event)
        self.deadline = monotonic() + LINGER_S
        try:
            self.channel.half_close()
        except OSError:
            self.broken = True
        return OWNER_NEEDED if self.broken or self.kick_wanted else SENT

    def kick_owner(self) -> None:
        """Has its owner look at it, whoever becomes that meanwhile. Any thread."""
        owner = None
        while owner is not self.owner:
            owner = self.owner
            owner.kick(self)

    def head_begins(self, now: float) -> None:
        """The first bytes of a request are there. The owner alone."""
        self.state = after(self.state, HEAD_BEGUN)
        # Absolute: a head that drips in does not move it. The first one's time runs from the accept.
        if self.has_asked:
            self.deadline = now + self.listener.header_timeout_s

    def body_arrives(self, now: float) -> None:
        """More of a body is there: moves its deadline, and asks for the rest. The owner alone."""
        if self.state != BODY:
            self.state = after(self.state, BODY_BEGUN)
            self.body_since = now
        if self.incoming.take_continue():
            self._send_continue()
        rate = self.listener.settings.min_body_bytes_per_s
        # What has come buys time at the slowest rate that is allowed, on top of the grace.
        earned_s = self.incoming.body_bytes_received / rate if rate else float("inf")
        self.deadline = self.body_since + self.listener.body_grace_s + min(earned_s, 1e6)

    def _send_continue(self) -> None:
        """Sends ``100 Continue`` (RFC 9110 section 15.2.1), while a body is awaited.

        25 bytes on a connection that awaits nothing else: they go whole, or the client is gone.
        """
        with self.lock:
            try:
                self.channel.send_aside(_CONTINUE)
            except OSError:
                self.broken = True

    def abandon(self, exchange: Exchange) -> int:
        """Ends ``exchange`` without an answer: the connection will be closed."""
        with self.lock:
            if self.exchange is not exchange:
                return LATE
            self.exchange = None
            self.broken = True
            return OWNER_NEEDED

    def flush(self) -> int:
        """Sends more of what could not be sent at once: SENT, or OWNER_NEEDED where more is left.

        The owner alone. A failed send marks the connection broken.
        """
        # Views are made and dropped here alone: each slice is counted in what it is taken of, without a lock,
        # and one that another thread had made would go whenever that thread comes by.
        with self.lock:
            if self.unsent is None:
                return SENT
            try:
                with memoryview(self.unsent) as whole, whole[self.sent_bytes :] as rest:
                    self.sent_bytes += self._transmit(rest)
            except BlockingIOError:
                return OWNER_NEEDED
            except OSError:
                self.broken = True
                return SENT
            if self.sent_bytes < len(self.unsent):
                self.deadline = monotonic() + self.listener.write_timeout_s
                return OWNER_NEEDED
            self.unsent = None
            if self.keep_after_flush:
                self.state = after(self.state, FLUSHED)
                self.answered_at = monotonic()
            else:
                self._linger(FLUSHED_LAST)
            return SENT

    def close(self) -> Exchange | None:
        """Closes the descriptor; the owner alone. Returns the exchange that was cut short, if any."""
        with self.lock:
            self.state = after(self.state, CLOSING)
            exchange, self.exchange = self.exchange, None
            self.unsent = None
            self.channel.close()
        self.incoming.discard()
        return exchange

    def settle(self) -> None:
        """Brings the deadline up to date. The owner; ``lock`` is held.

        That of a request that is worked on, of who is idle, and of who reads slowly: nobody else moves those.
        """
        if self.exchange is not None:
            self.deadline = self.exchange.started + self.listener.request_timeout_s
        elif self.state == IDLE and self.has_asked and not self._hurried:
            self.deadline = self.answered_at + self.keep_alive_timeout_s
        elif self.unsent is not None:
            # The poller tells of room for more when a third of the socket's buffer is free, which may take a
            # steady reader minutes.
            delivered_bytes = self.sent_bytes - self.channel.queued_bytes()
            if delivered_bytes >= self._delivered_bytes + _PROGRESS_BYTES:
                self._delivered_bytes = delivered_bytes
                self.deadline = monotonic() + self.listener.write_timeout_s

    @property
    def has_asked(self) -> bool:
        """A request has come. The owner alone."""
        return self.requests_left < self.listener.keep_alive_requests

    def is_silent(self) -> bool:
        """Nothing of a first request has come yet. The owner alone."""
        return not self.has_asked and not self.incoming.begun

    def is_idle(self) -> bool:
        """Between two requests with nothing buffered; not before the first. The owner alone.

        Brings its deadline up to date.
        """
        with self.lock:
            self.settle()
            return self.state == IDLE and self.has_asked and not self.incoming.begun

    def hurry(self, now: float) -> bool:
        """Gives a connection that waits for a request a moment only, since one may be on its way.

        False where it does not wait for one, or was hurried before. The owner alone, which files the
        new deadline.
        """
        if self._hurried:
            return False
        if self.is_idle():
            # Since its last answer: who has sent nothing for longer has nothing on its way now either.
            since = self.deadline - self.keep_alive_timeout_s
        elif self.is_silent():
            since = now
        else:
            return False
        self.deadline = min(self.deadline, since + _DRAIN_PATIENCE_S)
        self._hurried = True
        return True


def peer_name(sock: socket.socket, address: object) -> str:
    """A client's address as ``ip:port``, ``[v6]:port`` or ``unix:0``."""
    if sock.family == socket.AF_UNIX or not isinstance(address, tuple):
        return "unix:0"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
