"""h2's state of a connection, set up for siphon: what it announces, and what is kept out of its hands."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

from h2.config import H2Configuration
from h2.connection import ConnectionState, H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import NoSuchStreamError, StreamClosedError
from h2.settings import SettingCodes, Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from h2.exceptions import ProtocolError

# How much of a body an upstream may send ahead of what siphon has read, for a stream and for all.
_STREAM_WINDOW_BYTES: Final = 1_048_576
_CONNECTION_WINDOW_BYTES: Final = 16_777_216
_DEFAULT_WINDOW_BYTES: Final = 65_535
_LAST_STREAM_ID: Final = 2**31 - 1


class State(H2Connection):
    """The client's end of an HTTP/2 connection. For one thread.

    h2 keeps the streams' states, the windows, the settings and the compression. Fields and Content-Length
    are looked at by siphon: where a response is malformed h2 ends the connection, and all calls on it.
    """

    # h2 remembers how each stream ended, for frames that come late: 65,536 of them would be 9 MB.
    MAX_CLOSED_STREAMS = 1024

    def __init__(self) -> None:
        super().__init__(
            H2Configuration(
                validate_outbound_headers=False,
                normalize_outbound_headers=False,
                validate_inbound_headers=False,
                normalize_inbound_headers=False,
            )
        )

    @property
    def has_stream_ids(self) -> bool:
        """Whether another stream can be begun: a connection has a billion of them."""
        return self.highest_outbound_stream_id < _LAST_STREAM_ID

    def begin(self) -> None:
        """What a client sends first (RFC 9113, section 3.4)."""
        self.local_settings = Settings(
            client=True,
            initial_values={
                SettingCodes.ENABLE_PUSH: 0,
                SettingCodes.INITIAL_WINDOW_SIZE: _STREAM_WINDOW_BYTES,
                SettingCodes.MAX_HEADER_LIST_SIZE: self.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )
        self.initiate_connection()
        self.increment_flow_control_window(_CONNECTION_WINDOW_BYTES - _DEFAULT_WINDOW_BYTES)

    def begin_stream(self, fields: Iterable[tuple[bytes, bytes]], *, end: bool) -> int:
        """Sends a request's head on a new stream; its number."""
        stream_id = self.get_next_available_stream_id()
        self.send_headers(stream_id, fields, end_stream=end)
        # StreamResponse looks at it.
        self.streams[stream_id]._initialize_content_length = _ignore  # type: ignore[method-assign]
        return stream_id

    def room(self, stream_id: int) -> int:
        """How many bytes the next frame of a body may have; none or fewer where the windows are used up."""
        return min(self.local_flow_control_window(stream_id), self.max_outbound_frame_size)

    @property
    def is_over(self) -> bool:
        """Whether a rule was broken: h2 takes no more frames, and makes none but the last."""
        return self.state_machine.state is ConnectionState.CLOSED

    def reset(self, stream_id: int, code: ErrorCodes) -> None:
        """Resets a stream that is not closed yet; its last frame may be what was at fault."""
        with suppress(StreamClosedError):
            self.reset_stream(stream_id, code)

    def end(self, code: ErrorCodes) -> None:
        """Says good-bye (RFC 9113, section 6.8)."""
        # Where it has refused a frame, h2 has a GOAWAY ready already.
        self.clear_outbound_data_buffer()
        self.close_connection(code)


def reason_of(error: ProtocolError) -> str:
    """What h2 has found wrong with a frame."""
    if isinstance(error, NoSuchStreamError):
        return f"a frame on stream {error.stream_id}, which is not open"
    return str(error)


def name_of(code: int | None) -> str:
    """An error code as RFC 9113, section 7, calls it."""
    try:
        return ErrorCodes(code or 0).name
    except ValueError:
        return f"error {code}"


def _ignore(headers: object) -> None:
    return
