"""Whatever an upstream sends, in whatever pieces, each call ends once; nothing but a refusal is raised."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import RequestReceived, StreamReset
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from siphon.client.call import Call
from siphon.client.http2_stream import Stream
from siphon.client.http2_streams import Streams
from siphon.client.replies import Replies
from siphon.client.request import make_request
from siphon.config.settings import ClientSettings
from siphon.errors import ResponseRefused

if TYPE_CHECKING:
    from collections.abc import Iterator

# How long it takes says nothing on a machine that is busy with something else.
unhurried = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
SETTINGS = ClientSettings(max_response_bytes=100_000)


@pytest.fixture(scope="module")
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that never runs: what has ended stays with the replies, to be counted."""
    made = asyncio.new_event_loop()
    yield made
    made.close()


class Conversation:
    """Calls on a ``Streams``, and an h2 server that has received them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, *bodies: bytes) -> None:
        self.replies = Replies(loop)
        self.streams = Streams()
        self.streams.begin()
        self.calls = [self._call(body) for body in bodies]
        for call in self.calls:
            self.streams.add(Stream(call, self))
        self.streams.advance()
        self.server = H2Connection(H2Configuration(client_side=False, validate_outbound_headers=False))
        self.server.initiate_connection()
        self.events = self.server.receive_data(bytes(self.streams.outgoing))
        self.streams.outgoing.clear()
        self.numbers = [event.stream_id for event in self.events if isinstance(event, RequestReceived)]

    def _call(self, body: bytes) -> Call:
        method = "PUT" if body else "GET"
        request = make_request(SETTINGS, None, method, "http://host.example/", body=body or None)
        return Call(request, SETTINGS, self.replies)

    def cancel(self, stream: Stream) -> None:
        """No call ends here by itself."""

    def outcomes(self) -> list[int]:
        """How often each call has had its outcome or was handed back, after the connection's end."""
        self.streams.refuse_line()
        self.streams.fail(ResponseRefused("the end", broke_off=True))
        ended = [*self.replies._finished, *self.streams.refused]
        return [ended.count(call) for call in self.calls]


def answers(talk: Conversation) -> bytes:
    """Three answers with all that one may have."""
    first, second, third = talk.numbers
    server = talk.server
    server.send_headers(first, [(":status", "103"), ("link", "x")])
    server.send_headers(first, [(":status", "200"), ("content-length", "5"), ("x", "y" * 300)])
    server.send_data(first, b"hello", end_stream=True)
    server.ping(b"12345678")
    server.send_headers(second, [(":status", "200")])
    server.send_data(second, b"part", pad_length=7)
    server.send_headers(third, [(":status", "204")], end_stream=True)
    server.send_headers(second, [("x-check", "1")], end_stream=True)
    server.increment_flow_control_window(1000)
    return server.data_to_send()


edits = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 6), st.binary(max_size=6)), min_size=0, max_size=4
)


@unhurried
@given(edits, st.lists(st.integers(1, 60), max_size=12))
@example([], [])
def test_answers_that_were_tampered_with_end_each_call_once(
    loop: asyncio.AbstractEventLoop, changes: list[tuple[int, int, bytes]], sizes: list[int]
) -> None:
    talk = Conversation(loop, b"", b"", b"x" * 70_000)
    data = bytearray(answers(talk))
    for at, cut, put in changes:
        data[at : at + cut] = put
    received = bytes(data)
    try:
        for size in [*sizes, len(received)]:
            talk.streams.receive(received[:size])
            received = received[size:]
            talk.streams.advance()
    except ResponseRefused:
        pass
    assert talk.outcomes() == [1, 1, 1]
    talk.streams.end()


@unhurried
@given(
    st.lists(st.sampled_from(["answer", "reset", "refuse", "cancel", "window", "data"]), max_size=12),
    st.data(),
)
def test_any_order_of_ends_ends_each_call_once(
    loop: asyncio.AbstractEventLoop, moves: list[str], data: st.DataObject
) -> None:
    talk = Conversation(loop, b"", b"x" * 70_000, b"x" * 70_000)
    server, streams = talk.server, talk.streams
    ended: set[int] = set()
    cancelled: set[int] = set()
    for move in moves:
        index = data.draw(st.integers(0, 2))
        number = talk.numbers[index]
        if move == "cancel":
            stream = streams._open.get(number)
            talk.calls[index].ended = True
            cancelled.add(index)
            if stream is not None:
                streams.cancel(stream)
        elif move == "window":
            server.increment_flow_control_window(50_000)
            if number not in ended:
                server.increment_flow_control_window(50_000, number)
        elif number in ended:
            continue
        elif move == "answer":
            ended.add(number)
            server.send_headers(number, [(":status", "200")])
            server.send_data(number, b"body", end_stream=True)
        elif move in ("reset", "refuse"):
            ended.add(number)
            code = ErrorCodes.REFUSED_STREAM if move == "refuse" else ErrorCodes.CANCEL
            server.reset_stream(number, code)
        if sent := server.data_to_send():
            streams.receive(sent)
        streams.advance()
        for event in server.receive_data(bytes(streams.outgoing)):
            if isinstance(event, StreamReset):
                ended.add(event.stream_id)
        streams.outgoing.clear()
    counts = talk.outcomes()
    assert all(counts[index] == 1 for index in range(3) if index not in cancelled)
    # One that was cancelled has its end already; it may have had its outcome before.
    assert all(counts[index] <= 1 for index in cancelled)
    assert streams.is_idle


def test_a_call_that_ends_together_with_the_connection_is_let_go(loop: asyncio.AbstractEventLoop) -> None:
    talk = Conversation(loop, b"", b"", b"x" * 70_000)
    with pytest.raises(ResponseRefused, match="breaks the rules of HTTP/2"):
        # The last frame lets the window grow by nothing.
        talk.streams.receive(talk.server.data_to_send() + b"\0\0\4\x08\0" + bytes(8))
    first, _, third = list(talk.streams._open.values())
    for stream in (first, third):
        stream.call.end()
        talk.streams.cancel(stream)
    assert talk.outcomes() == [0, 1, 0]
    talk.streams.end()
