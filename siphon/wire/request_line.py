"""The request line: method, target in its four forms, version (RFC 9112 section 3)."""

import re
from typing import Final, NamedTuple

from siphon.errors import OtherProtocol, RequestRefused
from siphon.wire.grammar import HOST, PORT, TCHAR, TOKEN, URI_HOST, VISIBLE_TARGET, any_case
from siphon.wire.head import WireLimits

_match_line: Final = re.compile(rb"(" + TOKEN + rb") ([\x21-\x7e]++) HTTP/([0-9])\.([0-9])\r\n").fullmatch
_match_origin: Final = re.compile(rb"/" + VISIBLE_TARGET + rb"*+").fullmatch
_match_absolute: Final = re.compile(
    any_case("http") + rb"[Ss]?+://(" + HOST + rb")([/?]" + VISIBLE_TARGET + rb"*+)?"
).fullmatch
_match_authority: Final = re.compile(URI_HOST + rb":" + PORT).fullmatch
_match_first_byte: Final = re.compile(rb"[" + TCHAR + rb"]").match

_TLS_HANDSHAKE: Final = 0x16  # the type of the first record of a TLS connection
_VERSION_BYTES: Final = len(b" HTTP/1.1\r\n")


class RequestLine(NamedTuple):
    """A request line that keeps the rules."""

    method: str
    target: str
    """Origin-form, ``*`` or an authority; of an absolute-form its path and query."""
    authority: bytes | None
    """The authority of an absolute-form, which stands for the Host field (RFC 9112 3.2.2)."""
    minor_version: int
    """0 or 1: a later minor version is served as 1.1 (RFC 9110 2.5)."""


def check_line_so_far(buffer: bytes | bytearray, size: int, limits: WireLimits) -> None:
    """Refuse a request line that can no longer become a good one, before its end is there.

    ``buffer`` begins with the line, of which ``size`` bytes (at least one) have come; a line end counts.
    Raises RequestRefused: 414 for a target that is too long, 400 for what cannot be a request line at all.
    """
    if buffer[0] == _TLS_HANDSHAKE:
        raise OtherProtocol(400, "a client speaks TLS to this port, which is plain HTTP")
    if _match_first_byte(buffer) is None:
        raise RequestRefused(400, "the request does not begin with a method")
    target = buffer.find(b" ", 0, size) + 1
    if target == 0:
        return
    target_end = buffer.find(b" ", target, min(size, target + limits.max_target_bytes + 1))
    if target_end < 0:
        if size - target > limits.max_target_bytes:
            raise RequestRefused(414, f"the request target is longer than {limits.max_target_bytes} bytes")
    elif size - target_end > _VERSION_BYTES:
        raise RequestRefused(400, "the request line does not end with an HTTP version")


def parse_request_line(line: bytes) -> RequestLine:
    """Read a whole request line, its line end included.

    Raises RequestRefused: 505 for a major version other than 1, else 400.
    """
    match = _match_line(line)
    if match is None:
        raise RequestRefused(400, "the request line is malformed")
    method, target, major, minor = match.groups()
    if major != b"1":
        raise RequestRefused(505, f"HTTP/{major.decode()}.{minor.decode()} is not spoken here")
    path, authority = _split_target(method, target)
    return RequestLine(method.decode("ascii"), path.decode("ascii"), authority, min(int(minor), 1))


def _split_target(method: bytes, target: bytes) -> tuple[bytes, bytes | None]:
    """The target as a handler sees it, and the authority if it is an absolute-form."""
    if method == b"CONNECT":
        if _match_authority(target):
            return target, None
        raise RequestRefused(400, "the target of CONNECT is not host:port")
    if _match_origin(target):
        return target, None
    if target == b"*" and method == b"OPTIONS":
        return target, None
    if absolute := _match_absolute(target):
        rest = absolute[2] or (b"*" if method == b"OPTIONS" else b"/")
        return (b"/" + rest if rest.startswith(b"?") else rest), absolute[1]
    raise RequestRefused(400, "the request target has none of the forms of RFC 9112 section 3.2")
