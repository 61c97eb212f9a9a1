"""The calls on one HTTP/2 connection: what its frames mean for them. No socket, no thread."""

from __future__ import annotations

from collections import OrderedDict, deque
from time import monotonic
from typing import TYPE_CHECKING, Any, Final

from h2.errors import ErrorCodes
from h2.events import (
    DataReceived,
    InformationalResponseReceived,
    RemoteSettingsChanged,
    RequestReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from h2.exceptions import ProtocolError as H2Error

from siphon.client.call import AWAITING, RECEIVING, SENDING, CallEnded
from siphon.client.http2_state import State, name_of, reason_of
from siphon.errors import ResponseRefused
from siphon.wire.frames import FrameSplitter, Goaway, stream_of, without_reset
from siphon.wire.http2_fields import MalformedResponse
from siphon.wire.stream_response import StreamResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from h2.events import Event

    from siphon.client.call import Call
    from siphon.client.http2_stream import Stream

# Bodies and heads wait where they are while this much waits to be sent.
_OUTGOING_BYTES: Final = 131_072
# How many streams are opened before the upstream has said how many it takes.
_STREAMS_AT_FIRST: Final = 100
# An upstream that was asked whether it is there, and sends nothing for so long, gets no more calls.
SILENCE_S: Final = 2.0
_PING: Final = b"siphon?!"


class Streams:
    """The streams of one connection, open or in line. For the thread that owns the connection.

    What is to be sent gathers in ``outgoing``. Every call that comes in leaves once: with its outcome, or
    in ``refused``, when the upstream has not processed it and another connection may.
    """

    def __init__(self) -> None:
        self._state = State()
        self._splitter = FrameSplitter()
        self._in_line: OrderedDict[Stream, None] = OrderedDict()
        self._open: dict[int, Stream] = {}
        # Those that have a part of their body left to send; they take turns.
        self._sending: deque[Stream] = deque()
        self._streams_max = _STREAMS_AT_FIRST
        self._has_answered = False
        self._goaway: Goaway | None = None
        self._end_code = ErrorCodes.NO_ERROR
        self.outgoing = bytearray()
        self.refused: list[Call] = []
        self.received_at = monotonic()
        # When the upstream was asked whether it is still there; None once it has sent anything.
        self.asked_at: float | None = None

    @property
    def is_idle(self) -> bool:
        """Whether there is no call left."""
        return not self._open and not self._in_line

    @property
    def takes_calls(self) -> bool:
        """Whether more streams can be begun, and somebody is there to answer them."""
        if self.asked_at is not None and monotonic() - self.asked_at >= SILENCE_S:
            return False
        return self._goaway is None and self._state.has_stream_ids

    @property
    def open_count(self) -> int:
        """How many calls have a stream. Any thread."""
        return len(self._open)

    @property
    def waiting_count(self) -> int:
        """How many calls wait until the upstream takes more streams. Any thread."""
        return len(self._in_line)

    def begin(self) -> None:
        """What a client sends first."""
        self._state.begin()
        self._take_output()

    def add(self, stream: Stream) -> None:
        """Puts a call in line for a stream."""
        try:
            stream.call.attach(stream)
        except CallEnded:
            return
        self._in_line[stream] = None

    def cancel(self, stream: Stream) -> None:
        """Gives up a call that has ended, wherever it is."""
        stream.call.let_go()
        if stream in self._in_line:
            del self._in_line[stream]
        elif self._open.get(stream.id) is stream:
            is_over = self._state.is_over
            self._close(stream, None if is_over else ErrorCodes.CANCEL)
            if not is_over and self.asked_at is None and self.received_at < stream.opened_at:
                # Perhaps nobody is there any more: then no other call should wait for them.
                self._state.ping(_PING)
                self.asked_at = monotonic()
            self._take_output()

    def advance(self) -> bool:
        """Opens streams and sends bodies as far as the upstream allows.

        True where it would allow more, once what is outgoing has been sent.
        """
        while self._in_line and len(self._open) < self._streams_max and self.takes_calls:
            if len(self.outgoing) >= _OUTGOING_BYTES:
                return True
            stream, _ = self._in_line.popitem(last=False)
            self._begin(stream)
        blocked = 0
        while blocked < len(self._sending):
            if len(self.outgoing) >= _OUTGOING_BYTES:
                return True
            stream = self._sending.popleft()
            blocked = 0 if self._send(stream) else blocked + 1
            if stream.has_unsent:
                self._sending.append(stream)
        return False

    def receive(self, data: bytes) -> None:
        """Takes what the upstream has sent. Raises ResponseRefused where the connection is of no more use."""
        self.received_at = monotonic()
        self.asked_at = None
        try:
            for frame in self._splitter.split(data):
                if isinstance(frame, Goaway):
                    self._go_away(frame)
                else:
                    self._receive_frame(frame)
        except H2Error as error:
            self._end_code = error.error_code
            reason = f"the upstream breaks the rules of HTTP/2: {reason_of(error)}"
            raise ResponseRefused(reason) from error
        except ResponseRefused:
            self._end_code = ErrorCodes.PROTOCOL_ERROR
            raise

    def receive_end(self, error: OSError | None = None) -> Exception:
        """The upstream has closed the connection, or it was lost: what its calls end in."""
        if not self._splitter.begun:
            return ResponseRefused(
                "the connection was closed before anything in HTTP/2 came: does the upstream speak it?",
                broke_off=True,
            )
        because = ""
        if self._goaway is not None and self._goaway.error_code:
            because = f" ({name_of(self._goaway.error_code)}{_debug(self._goaway)})"
        if error is not None and not because:
            return error
        # What an upstream has said says more than how its connection went.
        return ResponseRefused(f"the connection was closed before the answer ended{because}", broke_off=True)

    def refuse_line(self) -> None:
        """Moves the calls that are in line, of which nothing was sent, to ``refused``."""
        for stream in self._in_line:
            self._refuse(stream)
        self._in_line.clear()

    def fail(self, error: Exception) -> None:
        """The connection has ended: the open calls end in ``error``, or may be sent anew."""
        lost, self._open = self._open, {}
        for stream in lost.values():
            if self._has_answered and stream.may_be_sent_anew(error):
                self._refuse(stream, error)
            else:
                stream.fail(error)

    def end(self) -> None:
        """Says good-bye."""
        self._state.end(self._end_code)
        self._take_output()

    # One stream --------------------------------------------------------------------------------

    def _begin(self, stream: Stream) -> None:
        stream.was_opened(self._state.begin_stream(stream.fields(), end=not stream.has_unsent))
        self._take_output()
        self._open[stream.id] = stream
        if stream.has_unsent:
            self._sending.append(stream)

    def _send(self, stream: Stream) -> bool:
        """Sends one frame of a body; False where the upstream's windows have no room for it."""
        room = self._state.room(stream.id)
        if room <= 0:
            return False
        part = stream.take_part(room)
        self._state.send_data(stream.id, part, end_stream=not stream.has_unsent)
        self._take_output()
        if not stream.has_unsent and stream.call.phase is SENDING:
            stream.call.phase = AWAITING
        return True

    def _close(self, stream: Stream, code: ErrorCodes | None) -> None:
        """Forgets an open stream, and tells the upstream where there is a ``code`` to tell."""
        del self._open[stream.id]
        if stream.has_unsent:
            self._sending.remove(stream)
        if code is not None:
            self._state.reset(stream.id, code)

    def _refuse(self, stream: Stream, error: Exception | None = None) -> None:
        if stream.refuse(error):
            self.refused.append(stream.call)

    # What the upstream says --------------------------------------------------------------------

    def _receive_frame(self, frame: bytes) -> None:
        is_late = stream_of(frame) not in self._open
        events = self._state.receive_data(frame)
        if is_late:
            # h2 resets a stream that was given up once more for every frame that was on its way, and
            # upstreams count resets.
            self.outgoing += without_reset(self._state.data_to_send())
        for event in events:
            handle = _HANDLERS.get(type(event))
            if handle is not None:
                handle(self, event)
        self._take_output()

    def _go_away(self, goaway: Goaway) -> None:
        self._goaway = goaway
        reason = f"the upstream refused the request: it is going away{_debug(goaway)}"
        for stream in [stream for id_, stream in self._open.items() if id_ > goaway.last_stream_id]:
            self._close(stream, None)
            self._refuse(stream, ResponseRefused(reason, broke_off=True))

    def _request_received(self, event: RequestReceived) -> None:
        reason = f"the upstream breaks the rules of HTTP/2: a request on stream {event.stream_id}"
        raise ResponseRefused(reason)

    def _settings_changed(self, _event: RemoteSettingsChanged) -> None:
        self._streams_max = self._state.remote_settings.max_concurrent_streams

    def _interim_received(self, event: InformationalResponseReceived) -> None:
        self._take(event.stream_id, StreamResponse.receive_interim, event.headers)

    def _head_received(self, event: ResponseReceived) -> None:
        if event.stream_id in self._open:
            self._open[event.stream_id].call.phase = RECEIVING
        self._take(event.stream_id, StreamResponse.receive_head, event.headers)

    def _data_received(self, event: DataReceived) -> None:
        # Bodies are kept in memory whatever the windows are, so these reopen at once.
        self._state.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self._take(event.stream_id, StreamResponse.receive, event.data)

    def _trailers_received(self, event: TrailersReceived) -> None:
        self._take(event.stream_id, StreamResponse.receive_trailers, event.headers)

    def _take(self, stream_id: int, receive: Callable[[StreamResponse, Any], None], what: Any) -> None:
        """Adds to a response; what comes late for a stream that was given up is left."""
        stream = self._open.get(stream_id)
        if stream is None:
            return
        stream.begun = True
        try:
            receive(stream.response, what)
        except ResponseRefused as error:
            malformed = isinstance(error, MalformedResponse)
            self._close(stream, ErrorCodes.PROTOCOL_ERROR if malformed else ErrorCodes.CANCEL)
            stream.fail(error)

    def _stream_ended(self, event: StreamEnded) -> None:
        stream = self._open.get(event.stream_id)
        if stream is not None:
            # An upstream that has answered needs no more of the request (RFC 9113, section 8.1).
            self._close(stream, ErrorCodes.NO_ERROR if stream.has_unsent else None)
            self._has_answered = True
            stream.deliver()

    def _stream_reset(self, event: StreamReset) -> None:
        stream = self._open.get(event.stream_id)
        if stream is None:
            return
        self._close(stream, None)
        name = name_of(event.error_code)
        if event.error_code == ErrorCodes.REFUSED_STREAM:
            error = ResponseRefused(f"the upstream refused the request ({name})", broke_off=True)
            self._refuse(stream, error)
        else:
            whose = "the upstream reset" if event.remote_reset else "the upstream was at fault on"
            stream.fail(ResponseRefused(f"{whose} the request's stream ({name})", broke_off=True))

    def _take_output(self) -> None:
        self.outgoing += self._state.data_to_send()


_HANDLERS: Final[dict[type[Event], Callable[[Streams, Any], None]]] = {
    DataReceived: Streams._data_received,
    InformationalResponseReceived: Streams._interim_received,
    RemoteSettingsChanged: Streams._settings_changed,
    RequestReceived: Streams._request_received,
    ResponseReceived: Streams._head_received,
    StreamEnded: Streams._stream_ended,
    StreamReset: Streams._stream_reset,
    TrailersReceived: Streams._trailers_received,
}


def _debug(goaway: Goaway) -> str:
    text = goaway.debug[:200].decode("ascii", "replace")
    return f": {text!r}" if text else ""
