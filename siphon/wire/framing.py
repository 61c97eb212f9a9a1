"""How a request's fields frame its body and its connection (RFC 9112 sections 3.2, 6 and 9.3)."""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from siphon.errors import RequestRefused
from siphon.wire.grammar import HOST
from siphon.wire.head import WireLimits

_match_host: Final = re.compile(HOST).fullmatch
_match_digits: Final = re.compile(rb"[0-9]++").fullmatch

_LENGTH_DIGITS_MAX: Final = 15
_WRITTEN_DIGITS_MAX: Final = 20  # leading zeros included: h11 takes no more

type Fields = Sequence[tuple[bytes, bytes]]
"""Names in lower case with stripped values, in order."""


class Framing(NamedTuple):
    """What the fields say about the body and about the connection after it."""

    content_length: int
    """In bytes; 0 where none is declared."""
    chunked: bool
    keep_alive: bool
    """Whether the client lets the connection go on after this request."""
    expects_continue: bool
    """The client waits for a ``100 Continue`` before it sends the body."""


def judge(fields: Fields, minor_version: int, limits: WireLimits) -> Framing:
    """The framing of a request. Raises RequestRefused: 400, 413 for a declared length over the cap, 417."""
    _check_host(fields, minor_version)
    chunked = _is_chunked(fields, minor_version)
    lengths = _values(fields, b"content-length")
    if lengths and chunked:
        raise RequestRefused(400, "the request has Content-Length and Transfer-Encoding")
    content_length = _content_length(lengths, limits) if lengths else 0
    options = _options(fields, b"connection")
    keep_alive = b"close" not in options and (minor_version > 0 or b"keep-alive" in options)
    expects_continue = minor_version > 0 and _expects_continue(fields)
    return Framing(content_length, chunked, keep_alive, expects_continue)


def _values(fields: Fields, name: bytes) -> list[bytes]:
    return [value for field_name, value in fields if field_name == name]


def _options(fields: Fields, name: bytes) -> set[bytes]:
    """The members of a field that is a list, in lower case."""
    values = _values(fields, name)
    return {option.strip(b" \t").lower() for value in values for option in value.split(b",")} - {b""}


def _check_host(fields: Fields, minor_version: int) -> None:
    """Exactly one valid Host; an HTTP/1.0 client may leave it out (RFC 9112 3.2)."""
    hosts = _values(fields, b"host")
    if len(hosts) > 1:
        raise RequestRefused(400, "the request has several Host fields")
    if not hosts:
        if minor_version > 0:
            raise RequestRefused(400, "the request has no Host field")
    elif _match_host(hosts[0]) is None:
        raise RequestRefused(400, "the Host field is not a host with an optional port")


def _is_chunked(fields: Fields, minor_version: int) -> bool:
    """Whether the body is chunked; no other coding is taken, and none from HTTP/1.0 (RFC 9112 6.1)."""
    codings = _values(fields, b"transfer-encoding")
    if not codings:
        return False
    if minor_version == 0:
        raise RequestRefused(400, "an HTTP/1.0 request has Transfer-Encoding")
    if len(codings) > 1 or codings[0].lower() != b"chunked":
        raise RequestRefused(400, "Transfer-Encoding is not exactly one chunked")
    return True


def _content_length(lengths: list[bytes], limits: WireLimits) -> int:
    if len(lengths) > 1:
        raise RequestRefused(400, "the request has several Content-Length fields")
    if _match_digits(lengths[0]) is None:
        raise RequestRefused(400, "Content-Length is not a number")
    digits = lengths[0].lstrip(b"0") or b"0"
    if len(digits) > _LENGTH_DIGITS_MAX or int(digits) > limits.max_body_bytes:
        raise RequestRefused(413, f"the body is larger than {limits.max_body_bytes} bytes")
    if len(lengths[0]) > _WRITTEN_DIGITS_MAX:
        raise RequestRefused(400, f"Content-Length has more than {_WRITTEN_DIGITS_MAX} digits")
    return int(digits)


def _expects_continue(fields: Fields) -> bool:
    expectations = _options(fields, b"expect")
    if expectations - {b"100-continue"}:
        raise RequestRefused(417, "the only expectation that is met here is 100-continue")
    return bool(expectations)
