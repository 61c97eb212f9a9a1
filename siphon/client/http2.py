"""One HTTP/2 connection, which many calls share: a thread of its own reads, writes and keeps its state."""

from __future__ import annotations

import select
import ssl
import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Final

from siphon.client.http2_stream import Stream
from siphon.client.http2_streams import SILENCE_S, Streams
from siphon.client.load import Load
from siphon.errors import ResponseRefused
from siphon.wakeup import Wakeup

if TYPE_CHECKING:
    import socket

    from siphon.client.call import Call
    from siphon.client.threads import ClientThreads, Slots

_RECV_BYTES: Final = 65_536
_SEND_BYTES: Final = 65_536
# A connection without calls is closed after this long.
_IDLE_S: Final = 30.0
# An upstream that does not read what it asks for, such as answers to PINGs, is not read from either.
_UNREAD_BYTES: Final = 1_048_576
_WOULD_BLOCK: Final = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Http2Connection:
    """Carries calls to one upstream, each on a stream of its own, and none of them holds a thread.

    Any thread may call ``submit``, ``close_if_idle``, ``finish``, ``load`` and ``cancel``, which return at
    once; the thread that is in ``run`` owns the socket and the streams. ``_lock`` guards the inbox, what was
    cancelled, the three flags, and that nobody sets the wake-up once it is closed. It is taken under
    the locks of ``ClientThreads`` and of a call, neither of which is ever taken under it.
    """

    def __init__(self, sock: socket.socket) -> None:
        """Takes a connected socket over. Raises OSError where there is no descriptor for the wake-up."""
        self._sock = sock
        self._streams = Streams()
        self._lock = threading.Lock()
        self._inbox: list[Call] = []
        self._cancelled: list[Stream] = []
        self._takes_calls = True
        # As of the owner's last look; calls in the inbox are not counted.
        self._is_idle = True
        self._is_woken = False
        self._wakeup = Wakeup()

    # Any thread --------------------------------------------------------------------------------

    def submit(self, call: Call) -> bool:
        """Takes a call over; False where the connection takes no more."""
        with self._lock:
            if not self._takes_calls:
                return False
            self._inbox.append(call)
            self._wake()
            return True

    def close_if_idle(self) -> bool:
        """Ends a connection without calls; whether it does."""
        with self._lock:
            if not self._is_idle or self._inbox or not self._takes_calls:
                return False
            self._takes_calls = False
            self._wake()
            return True

    def finish(self) -> None:
        """Takes no more calls, and ends after the last it has."""
        with self._lock:
            if self._takes_calls:
                self._takes_calls = False
                self._wake()

    def load(self) -> Load:
        """Calls that have a stream, and calls that wait for one."""
        with self._lock:
            posted = len(self._inbox)
        return Load(1, self._streams.open_count, posted + self._streams.waiting_count)

    def cancel(self, stream: Stream) -> None:
        """A call has ended: its stream is given up. Under the call's lock, while it is attached."""
        with self._lock:
            self._cancelled.append(stream)
            self._wake()

    def _wake(self) -> None:
        """``_lock`` is held."""
        if not self._is_woken:
            self._is_woken = True
            self._wakeup.set()

    # The thread that owns the connection -------------------------------------------------------

    def run(self, threads: ClientThreads, slots: Slots) -> None:
        """Serves the calls of ``slots`` until the connection ends. Raises nothing."""
        self._threads = threads
        self._slots = slots
        self._is_retired = False
        failure: Exception = ResponseRefused("the connection was closed")
        try:
            self._sock.setblocking(False)
            self._streams.begin()
            failure = self._work()
        except OSError as error:
            failure = self._streams.receive_end(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, no call must wait for ever
            failure = error
        self._end(failure)

    def _work(self) -> Exception:
        """Returns when the connection has ended: why it has, for the calls that are left."""
        poll = select.poll()
        poll.register(self._wakeup.fd, select.POLLIN)
        poll.register(self._sock, select.POLLIN)
        streams = self._streams
        idle_since: float | None = None
        while True:
            takes_calls = self._take_posts()
            if not streams.is_idle:
                idle_since = None
            elif not takes_calls:
                return ResponseRefused("the connection was closed")
            elif idle_since is None:
                idle_since = monotonic()
                if self._threads.lack_a_thread():
                    self.close_if_idle()
            elif monotonic() - idle_since >= _IDLE_S:
                self.close_if_idle()
            has_more = streams.advance()
            try:
                is_blocked = self._flush()
            except OSError:
                self._read_the_rest()
                raise
            events = select.POLLIN if len(streams.outgoing) < _UNREAD_BYTES else 0
            if is_blocked or (has_more and not streams.outgoing):
                events |= select.POLLOUT
            poll.modify(self._sock, events)
            ready = dict(poll.poll(self._timeout_ms(idle_since)))
            if ready.get(self._sock.fileno(), 0) & ~select.POLLOUT and not self._read():
                return streams.receive_end()

    def _take_posts(self) -> bool:
        """Begins what others have asked for; whether the connection takes more calls."""
        streams = self._streams
        with self._lock:
            if self._is_woken:
                self._is_woken = False
                self._wakeup.clear()
            if not streams.takes_calls:
                self._takes_calls = False
            takes_calls = self._takes_calls
            inbox, self._inbox = self._inbox, []
            cancelled, self._cancelled = self._cancelled, []
            self._is_idle = not inbox and streams.is_idle
        for call in inbox:
            streams.add(Stream(call, self))
        for stream in cancelled:
            streams.cancel(stream)
        if not takes_calls:
            self._retire_once()
        self._give_back()
        return takes_calls

    def _give_back(self) -> None:
        """Hands over what another connection is to take; this one has been retired, or was full for it."""
        if not self._streams.takes_calls:
            self._streams.refuse_line()
        refused, self._streams.refused = self._streams.refused, []
        if refused:
            self._threads.put_back(self._slots, refused)

    def _retire_once(self) -> None:
        if not self._is_retired:
            self._is_retired = True
            self._threads.retire(self._slots, self)

    def _timeout_ms(self, idle_since: float | None) -> float | None:
        ends = [] if idle_since is None else [idle_since + _IDLE_S]
        asked_at = self._streams.asked_at
        if asked_at is not None and not self._is_retired:
            ends.append(asked_at + SILENCE_S)
        return max(0.0, min(ends) - monotonic()) * 1000 if ends else None

    def _flush(self) -> bool:
        """Sends what can be sent now. True where the socket takes no more. Raises OSError."""
        outgoing = self._streams.outgoing
        while outgoing:
            try:
                sent = self._sock.send(outgoing[:_SEND_BYTES])
            except ssl.SSLWantReadError:
                return False
            except _WOULD_BLOCK:
                return True
            del outgoing[:sent]
        return False

    def _read(self) -> bool:
        """Takes what has come; False at the end of it. Raises OSError, ResponseRefused."""
        sock = self._sock
        while True:
            try:
                data = sock.recv(_RECV_BYTES)
            except _WOULD_BLOCK:
                return True
            if not data:
                return False
            self._streams.receive(data)
            # What OpenSSL has decrypted already, poll does not see.
            if not isinstance(sock, ssl.SSLSocket) or not sock.pending():
                return True

    def _read_the_rest(self) -> None:
        """Sending has failed. What the upstream said before it closed is still there to be read."""
        before = None
        while self._read() and before != self._streams.received_at:
            before = self._streams.received_at

    def _end(self, failure: Exception) -> None:
        with self._lock:
            self._takes_calls = False
        self._retire_once()
        # Nobody posts any more but calls that end, and those let go of their streams here.
        self._take_posts()
        streams = self._streams
        streams.refuse_line()
        streams.fail(failure)
        self._give_back()
        streams.end()
        with suppress(OSError):
            self._flush()
        self._sock.close()
        self._wakeup.close()
