"""How the tests of this folder read requests: whole, in pieces, and with h11 alone."""

from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

import h11

from siphon.errors import RequestRefused
from siphon.wire.head import RequestHead, WireLimits
from siphon.wire.http1 import Http1Reader

LIMITS = WireLimits(
    max_header_bytes=16_384, max_headers=100, max_target_bytes=8_192, max_body_bytes=1_048_576
)


class Counted:
    """A budget for one thread, which never ends unless ``limit`` says so."""

    def __init__(self, limit: int = 1 << 50) -> None:
        self._limit = limit
        self.used = 0

    def take(self, size: int) -> bool:
        """As ``Budget.take``."""
        self.used += size
        return self.used <= self._limit

    def give(self, size: int) -> None:
        """As ``Budget.give``."""
        self.used -= size


class Meaning(NamedTuple):
    """What a request says, in a form that compares."""

    method: str
    target: str
    minor_version: int
    keep_alive: bool
    content_length: int
    fields: list[tuple[bytes, bytes]]


class Read(NamedTuple):
    """A whole request and what followed it."""

    meaning: Meaning
    body: bytes
    rest: bytes


def meaning_of(head: RequestHead) -> Meaning:
    """The head's attributes and fields."""
    return Meaning(
        head.method,
        head.target,
        head.minor_version,
        head.keep_alive,
        head.content_length,
        head.fields(),
    )


def read(pieces: Iterable[bytes], limits: WireLimits = LIMITS) -> Read | None:
    """Read one request with `Http1Reader`; None if it is not complete at the end of the pieces."""
    reader = Http1Reader(limits)
    rest = iter(pieces)
    for piece in rest:
        if reader.receive(piece):
            assert reader.head is not None
            return Read(meaning_of(reader.head), reader.body, b"".join([reader.rest, *rest]))
    return None


def outcome(pieces: Iterable[bytes], limits: WireLimits = LIMITS) -> Read | int | None:
    """As `read`, with the status of a refused request in place of its exception."""
    try:
        return read(pieces, limits)
    except RequestRefused as error:
        return error.status


def one_by_one(raw: bytes) -> list[bytes]:
    """Every byte as a piece of its own."""
    return [raw[i : i + 1] for i in range(len(raw))]


def cut(raw: bytes, places: Iterable[int]) -> list[bytes]:
    """The pieces between the given offsets."""
    edges = [0, *sorted(place % (len(raw) + 1) for place in places), len(raw)]
    return [raw[start:end] for start, end in pairwise(edges)]


class H11Read(NamedTuple):
    """One request as h11 alone reads it."""

    method: bytes
    target: bytes
    fields: list[tuple[bytes, bytes]]
    keep_alive: bool
    body: bytes
    rest: bytes


def read_with_h11(raw: bytes) -> H11Read:
    """Read one whole request with nothing but h11; raises h11.RemoteProtocolError."""
    connection = h11.Connection(h11.SERVER, 1 << 20)
    connection.receive_data(raw)
    request = connection.next_event()
    assert isinstance(request, h11.Request), request
    body = b""
    while isinstance(event := connection.next_event(), h11.Data):
        body += bytes(event.data)
    assert isinstance(event, h11.EndOfMessage), event
    keep_alive = connection.their_state is not h11.MUST_CLOSE
    rest = connection.trailing_data[0]
    return H11Read(request.method, request.target, request.headers.raw_items(), keep_alive, body, rest)
