"""The calls on one HTTP/2 connection: what h2 makes of bytes, and bytes of them. No socket, no thread."""

from __future__ import annotations

from collections import OrderedDict, deque
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Protocol

from h2.config import H2Configuration
from h2.connection import H2Connection
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
from h2.exceptions import NoSuchStreamError, StreamClosedError
from h2.exceptions import ProtocolError as H2Error
from h2.settings import SettingCodes, Settings

from siphon.client.call import AWAITING, IN_LINE, RECEIVING, SENDING, CallEnded
from siphon.client.failures import failure_of
from siphon.errors import ResponseRefused
from siphon.wire.frames import FrameSplitter, Goaway, stream_of, without_reset
from siphon.wire.http2_fields import MalformedResponse, request_fields
from siphon.wire.stream_response import StreamResponse

if TYPE_CHECKING:
    from collections.abc import Callable

    from h2.events import Event

    from siphon.client.call import Call

# How much of a body an upstream may send ahead of what siphon has read, for a stream and for all.
_STREAM_WINDOW_BYTES: Final = 1_048_576
_CONNECTION_WINDOW_BYTES: Final = 16_777_216
_DEFAULT_WINDOW_BYTES: Final = 65_535
# Bodies wait where they are while this much waits to be sent.
_OUTGOING_BYTES: Final = 131_072
# How many streams are opened before the upstream has said how many it takes.
_STREAMS_AT_FIRST: Final = 100
# An upstream that was asked whether it is there, and sends nothing for so long, gets no more calls.
SILENCE_S: Final = 2.0
_LAST_STREAM_ID: Final = 2**31 - 1
_PING: Final = b"siphon?!"


class Canceller(Protocol):
    """Who tells a connection's thread that a call has ended."""

    def cancel(self, stream: Stream) -> None:
        """Any thread; returns at once."""


class Stream:
    """A call on a connection; ``id`` is 0 until the connection has room for it."""

    __slots__ = ("_canceller", "body", "call", "id", "opened_at", "response")

    def __init__(self, call: Call, canceller: Canceller) -> None:
        self.call = call
        self.id = 0
        self.opened_at = 0.0
        self.body = memoryview(call.request.body)
        self.response = StreamResponse(call.request.method, call.settings.max_response_bytes)
        self._canceller = canceller

    def interrupt(self) -> None:
        """Nobody waits for the call any more. Any thread, under the call's lock."""
        self._canceller.cancel(self)


class _State(H2Connection):
    # h2 remembers how each stream ended, for frames that come late: 65,536 of them would be 12 MB.
    MAX_CLOSED_STREAMS = 1024


class Streams:
    """The streams of one connection, open or in line. For the thread that owns the connection.

    What is to be sent gathers in ``outgoing``. Every call that comes in leaves once: with its outcome, or
    in ``refused``, when the upstream has not processed it and another connection may.
    """

    def __init__(self) -> None:
        self._h2 = _State(
            H2Configuration(
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )
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
        """Whether more streams can be begun."""
        if self.asked_at is not None and monotonic() - self.asked_at >= SILENCE_S:
            return False
        return self._goaway is None and self._h2.highest_outbound_stream_id < _LAST_STREAM_ID

    def begin(self) -> None:
        """What a client sends first (RFC 9113, section 3.4)."""
        state = self._h2
        state.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: state.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )
        state.initiate_connection()
        state.increment_flow_control_window(_CONNECTION_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)
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
            self._close(stream, ErrorCodes.CANCEL)
            if self.asked_at is None and self.received_at < stream.opened_at:
                # Perhaps nobody is there any more: then no other call should wait for them.
                self._h2.ping(_PING)
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
            stream = self._sending[0]
            self._sending.rotate(-1)
            blocked = 0 if self._send(stream) else blocked + 1
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
            raise ResponseRefused(f"the upstream breaks the rules of HTTP/2: {_reason(error)}") from error
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
        if error is not None:
            return error
        because = ""
        if self._goaway is not None and self._goaway.error_code:
            because = f" ({_named(self._goaway.error_code)}{_debug(self._goaway)})"
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
            self._lose(stream, error)

    def end(self) -> None:
        """Says good-bye (RFC 9113, section 6.8)."""
        # Where it has refused a frame, h2 has a GOAWAY ready that names no other reason.
        self._h2.clear_outbound_data_buffer()
        self._h2.close_connection(self._end_code)
        self._take_output()

    # One stream --------------------------------------------------------------------------------

    def _begin(self, stream: Stream) -> None:
        request = stream.call.request
        stream.call.phase = SENDING
        stream.id = self._h2.get_next_available_stream_id()
        stream.opened_at = monotonic()
        origin = request.url.origin
        fields = request_fields(
            request.method, origin.scheme, origin.authority, request.url.target, request.fields
        )
        self._h2.send_headers(stream.id, fields, end_stream=not stream.body)
        # For one response with a wrong Content-Length h2 would end all calls: StreamResponse looks at it.
        self._h2.streams[stream.id]._initialize_content_length = _ignore  # type: ignore[method-assign]
        self._take_output()
        self._open[stream.id] = stream
        if stream.body:
            self._sending.append(stream)
        else:
            stream.call.phase = AWAITING

    def _send(self, stream: Stream) -> bool:
        """Sends one frame of a body; False where the upstream's windows have no room for it."""
        state = self._h2
        room = min(state.local_flow_control_window(stream.id), state.max_outbound_frame_size)
        if room <= 0:
            return False
        part, stream.body = stream.body[:room], stream.body[room:]
        state.send_data(stream.id, part, end_stream=not stream.body)
        self._take_output()
        if not stream.body:
            self._sending.remove(stream)
            if stream.call.phase is SENDING:
                stream.call.phase = AWAITING
        return True

    def _close(self, stream: Stream, code: ErrorCodes | None) -> None:
        """Forgets an open stream, and tells the upstream where there is a ``code`` to tell."""
        del self._open[stream.id]
        if stream.body:
            self._sending.remove(stream)
        if code is not None:
            # Where its last frame was at fault the stream is closed already.
            with suppress(StreamClosedError):
                self._h2.reset_stream(stream.id, code)

    def _deliver(self, stream: Stream) -> None:
        call, response = stream.call, stream.response
        self._has_answered = True
        try:
            call.detach()
            response.finish()
            assert response.status is not None
            call.deliver(response.status, response.fields, response.body)
        except CallEnded:
            return
        except Exception as error:  # noqa: BLE001 - whatever it is, it concerns this call alone
            call.fail(failure_of(error, call))

    def _lose(self, stream: Stream, error: Exception) -> None:
        """A call's stream is lost; as over HTTP/1.1 it is sent anew if a kept connection was at its end."""
        broke_off = isinstance(error, OSError) or (isinstance(error, ResponseRefused) and error.broke_off)
        is_stale = self._has_answered and stream.response.status is None
        if broke_off and is_stale and stream.call.request.is_idempotent:
            self._refuse(stream, error)
        else:
            _fail(stream.call, error)

    def _refuse(self, stream: Stream, error: Exception | None = None) -> None:
        """A call may be sent anew, once if it was sent: it is handed back, or ends in ``error``."""
        call = stream.call
        if error is not None and call.is_resent:
            _fail(call, error)
            return
        try:
            call.detach()
        except CallEnded:
            return
        call.is_resent = call.is_resent or error is not None
        call.phase = IN_LINE
        self.refused.append(call)

    # What the upstream says --------------------------------------------------------------------

    def _receive_frame(self, frame: bytes) -> None:
        is_late = stream_of(frame) not in self._open
        events = self._h2.receive_data(frame)
        if is_late:
            # h2 resets a stream that was given up once more for every frame that was on its way, and
            # upstreams count resets.
            self.outgoing += without_reset(self._h2.data_to_send())
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
        raise ResponseRefused(
            f"the upstream breaks the rules of HTTP/2: a request on stream {event.stream_id}"
        )

    def _settings_changed(self, _event: Any) -> None:
        self._streams_max = self._h2.remote_settings.max_concurrent_streams

    def _interim_received(self, event: InformationalResponseReceived) -> None:
        self._take(event.stream_id, StreamResponse.receive_interim, event.headers)

    def _head_received(self, event: ResponseReceived) -> None:
        if event.stream_id in self._open:
            self._open[event.stream_id].call.phase = RECEIVING
        self._take(event.stream_id, StreamResponse.receive_head, event.headers)

    def _data_received(self, event: DataReceived) -> None:
        # Bodies are kept in memory whatever the windows are, so these reopen at once.
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        self._take(event.stream_id, StreamResponse.receive, event.data)

    def _trailers_received(self, event: TrailersReceived) -> None:
        self._take(event.stream_id, StreamResponse.receive_trailers, event.headers)

    def _take(self, stream_id: int, receive: Callable[[StreamResponse, Any], None], what: Any) -> None:
        """Adds to a response. Nothing is said of streams that have been given up: their frames come late."""
        stream = self._open.get(stream_id)
        if stream is not None:
            try:
                receive(stream.response, what)
            except ResponseRefused as error:
                malformed = isinstance(error, MalformedResponse)
                self._close(stream, ErrorCodes.PROTOCOL_ERROR if malformed else ErrorCodes.CANCEL)
                _fail(stream.call, error)

    def _stream_ended(self, event: StreamEnded) -> None:
        stream = self._open.get(event.stream_id)
        if stream is None:
            return
        # An upstream that has answered needs no more of the request (RFC 9113, section 8.1).
        self._close(stream, ErrorCodes.NO_ERROR if stream.body else None)
        self._deliver(stream)

    def _stream_reset(self, event: StreamReset) -> None:
        stream = self._open.get(event.stream_id)
        if stream is None:
            return
        self._close(stream, None)
        name = _named(event.error_code)
        if event.error_code == ErrorCodes.REFUSED_STREAM:
            self._refuse(
                stream, ResponseRefused(f"the upstream refused the request ({name})", broke_off=True)
            )
        else:
            whose = "the upstream reset" if event.remote_reset else "the upstream was at fault on"
            _fail(stream.call, ResponseRefused(f"{whose} the request's stream ({name})", broke_off=True))

    def _take_output(self) -> None:
        self.outgoing += self._h2.data_to_send()


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


def _ignore(headers: object) -> None:
    return


def _fail(call: Call, error: Exception) -> None:
    try:
        call.detach()
    except CallEnded:
        return
    call.fail(failure_of(error, call))


def _reason(error: H2Error) -> str:
    if isinstance(error, NoSuchStreamError):
        return f"a frame on stream {error.stream_id}, which is not open"
    return str(error)


def _named(code: int | None) -> str:
    """An error code as RFC 9113, section 7, calls it."""
    try:
        return ErrorCodes(code or 0).name
    except ValueError:
        return f"error {code}"


def _debug(goaway: Goaway) -> str:
    text = goaway.debug[:200].decode("ascii", "replace")
    return f": {text!r}" if text else ""
