"""The head scanner: the one pass over a request's head that nearly every request takes.

It accepts a strict subset of HTTP/1.1 and never decides that a request is wrong: what it does not plainly
understand it declines, and `siphon.wire.http1` reads that from its first byte.
"""

import enum
import re
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple

from siphon.wire.grammar import FIELD_VALUE, HOST, OWS, TCHAR, TOKEN, VISIBLE_TARGET, any_case
from siphon.wire.joined import join, join_all

_SMALLEST_FIELD: Final = 4  # "a:" CR LF
_AROUND_TARGET: Final = len(b"  HTTP/1.1\r")


@dataclass(frozen=True, slots=True)
class WireLimits:
    """What a listener takes from a client; each number is the largest that is still allowed."""

    max_header_bytes: int
    """The whole head: request line, fields and the blank line."""
    max_headers: int
    max_target_bytes: int
    max_body_bytes: int
    unquestioned_bytes: int = field(init=False)
    """A head of this size cannot be over any limit, and is spared the comparisons."""
    unquestioned_after_bytes: int = field(init=False)
    """Nor can one of this size whose fields were counted before."""

    def __post_init__(self) -> None:
        after = min(self.max_header_bytes, self.max_target_bytes)
        object.__setattr__(self, "unquestioned_after_bytes", after)
        object.__setattr__(self, "unquestioned_bytes", min(after, _SMALLEST_FIELD * self.max_headers))


class Verdict(enum.Enum):
    """What `scan` says when it has no head to give: false, as no head is."""

    NEED_MORE = "need more"
    """The bytes so far may become a head that the scanner accepts."""
    DECLINE = "decline"
    """Not for the scanner: `Http1Reader` reads these bytes and judges them."""

    def __bool__(self) -> Literal[False]:
        return False


NEED_MORE: Final = Verdict.NEED_MORE
DECLINE: Final = Verdict.DECLINE

type Scanned = RequestHead | Literal[Verdict.NEED_MORE, Verdict.DECLINE]

# Literals, hence immortal: a shared string costs no contended reference count.
_METHODS: Final[dict[bytes, str]] = {
    b"HEAD": "HEAD",
    b"POST": "POST",
    b"PUT": "PUT",
    b"DELETE": "DELETE",
    b"PATCH": "PATCH",
    b"OPTIONS": "OPTIONS",
    b"TRACE": "TRACE",
}

_SCANNED_FIELDS: Final = ("host", "content-length", "connection")
_DECLINED_FIELDS: Final = ("transfer-encoding", "expect", "upgrade")
_OTHER_INITIALS: Final = rb"!#$%&'*+\-.^_`|~0-9ABDFGI-SV-Zabdfgi-sv-z"  # of none of those

# CONNECT with a path is an error (RFC 9112 3.2.3), and with an authority not for the scanner.
_REQUEST_LINE: Final = rb"(?!CONNECT )(" + TOKEN + rb") (/" + VISIBLE_TARGET + rb"*+) HTTP/1\.1\r\n"

# A part of what HOST takes, and nearly every host that there is: HOST alone takes twice as long as this
# and all else in a short head. What has no colon has no digit left for a port either.
_PLAIN_HOST: Final = rb"[0-9A-Za-z.\-]++:?+[0-5]?+[0-9]{0,4}+"


def _captured(name: str, group: int, value: bytes) -> bytes:
    """A field that may come once: ``(?(n)(?!))`` fails where group ``n`` has matched before."""
    return any_case(name) + rb":(?(%d)(?!))" % group + OWS + rb"(" + value + rb")" + OWS + rb"\r\n"


def _initial_of(names: tuple[str, ...], initial: str) -> bytes:
    """The first letter of a field that is none of ``names``; a look-ahead in front of it takes longer."""
    rests = rb"|".join([any_case(name[1:]) for name in names if name[0] == initial])
    return any_case(initial) + rb"(?!(?:" + rests + rb"):)"


def _lines_pattern() -> bytes:
    """The request line and whole fields; groups: method, target, field block, host, length, connection."""
    rest_of_field = rb"[" + TCHAR + rb"]*+:" + FIELD_VALUE + rb"\r\n"
    names = _SCANNED_FIELDS + _DECLINED_FIELDS
    fields = (
        rb"[" + _OTHER_INITIALS + rb"]" + rest_of_field,  # first: most fields, and no look-ahead
        _captured("host", 4, _PLAIN_HOST + rb"|" + HOST),
        _captured("content-length", 5, rb"[0-9]{1,15}+"),
        _captured("connection", 6, any_case("close") + rb"|" + any_case("keep-alive")),
        *[_initial_of(names, initial) + rest_of_field for initial in sorted({name[0] for name in names})],
    )
    return _REQUEST_LINE + rb"((?:" + rb"|".join(fields) + rb")*+)"


_match_lines: Final = re.compile(_lines_pattern()).match
_match_whole_lines: Final = re.compile(_lines_pattern()).fullmatch
_match_request_line: Final = re.compile(_REQUEST_LINE).fullmatch
_match_first_byte: Final = re.compile(rb"[" + TCHAR + rb"]").match
_find_fields: Final = re.compile(rb"([^:]++):[ \t]*+([^\r]*+)\r\n").findall


class Repeated:
    """What heads of one connection have in common whose fields are the same to the byte."""

    __slots__ = ("by_name",)

    def __init__(self) -> None:
        self.by_name: dict[str, str] | None = None
        """Made when a handler first asks, and not changed after: two that ask at once make it twice."""


class RequestHead(NamedTuple):
    """A request line and its fields. Made by the thread that reads, read by a worker, changed by nobody.

    Where each request passes it is unpacked: an attribute's descriptor is one for all threads, and each
    of them counts its use, in memory that their processors then take from each other.
    """

    method: str
    """As received: methods are case-sensitive (RFC 9110 9.1)."""
    target: str
    """Origin-form, ``*``, or for CONNECT the authority; of an absolute-form the path and the query."""
    minor_version: int
    """1, or 0 for an HTTP/1.0 client."""
    keep_alive: bool
    """Whether the client lets the connection go on after this request."""
    content_length: int
    """The declared length of the body in bytes; 0 where none is declared."""
    end: int
    """From `scan`: where in its buffer the body begins. 0 in a head of `Http1Reader`."""
    block: bytes
    """The field lines as received."""
    repeated: Repeated | None
    """Where they are those of an earlier head: what is known of them. From `scan_after`."""

    def __repr__(self) -> str:
        return f"<RequestHead {self.method} {self.target} HTTP/1.{self.minor_version}>"

    def fields(self) -> list[tuple[bytes, bytes]]:
        """The fields in order: names as received, values without the whitespace around them.

        Split from the raw head at each call, so that the reading thread need not do it.
        """
        block = self.block
        fields: list[tuple[bytes, bytes]] = _find_fields(block)
        if b" \r\n" in block or b"\t\r\n" in block:  # rare, and to strip every value would double the cost
            return [(name, value.rstrip(b" \t")) for name, value in fields]
        return fields

    def by_name(self) -> dict[str, str]:
        """The fields' values by their names in lower case, repeated ones joined; the caller's own."""
        repeated = self[7]
        return join_all(self.fields()) if repeated is None else self._known(repeated).copy()

    def value(self, name: str) -> str | None:
        """The value of the field called ``name``, in lower case; of repeated ones all of them, joined."""
        repeated = self[7]
        if repeated is None:
            return join(name, self._values(name))
        known = self._known(repeated)
        if name in known:  # on 3.13 `get` would lock
            return known[name]
        return None

    def _known(self, repeated: Repeated) -> dict[str, str]:
        known = repeated.by_name
        if known is None:
            repeated.by_name = known = join_all(self.fields())
        return known

    def _values(self, name: str) -> list[str]:
        """They are looked for in the raw head: to split and decode all fields takes ten times as long."""
        if ":" in name:
            return []
        try:
            wanted = b"\r\n%b:" % name.encode("ascii")
        except UnicodeEncodeError:
            return []
        block = self[6]
        lines = b"\r\n" + block.lower()
        found = []
        line = lines.find(wanted)
        while line >= 0:
            begin = line + len(wanted) - 2
            end = block.index(b"\r\n", begin)
            found.append(block[begin:end].strip(b" \t").decode("latin-1"))
            line = lines.find(wanted, end)
        return found


# 0.1 us; the class itself as its own constructor takes 0.2, and one with an __init__ 0.3.
_new_tuple: Final = tuple.__new__


def scan(buffer: bytes, limits: WireLimits, start: int = 0) -> Scanned:
    """Read the request head that begins at ``start``, if it is a complete and plainly well-formed one.

    Accepts ``METHOD SP origin-form SP HTTP/1.1`` with one valid Host, at most one Content-Length and one
    Connection (``close`` or ``keep-alive``), no Transfer-Encoding, Expect, Upgrade or line folding, and
    everything within ``limits``. The request is whole once ``head.end + head.content_length`` bytes are
    in the buffer. Takes time linear in the head.
    """
    # A bare LF before it fails the match; a shorter needle is faster.
    blank = buffer.find(b"\n\r\n", start)
    if blank < 0:
        return _scan_unfinished(buffer, limits, start)
    end = blank + 3
    lines = _match_whole_lines(buffer, start, end - 2)
    if lines is None:
        return DECLINE
    method, target, block, host, length, connection = lines.groups()
    if host is None:
        return DECLINE
    content_length = 0
    if length is not None:
        content_length = int(length)
        if content_length > limits.max_body_bytes:
            return DECLINE
    keep_alive = connection is None or len(connection) != len(b"close")
    if end - start > limits.unquestioned_bytes and (
        end - start > limits.max_header_bytes
        or len(target) > limits.max_target_bytes
        or block.count(b"\n") > limits.max_headers
    ):
        return DECLINE
    name = "GET" if method == b"GET" else _name_of(method)
    return _new_tuple(
        RequestHead, (name, target.decode("ascii"), 1, keep_alive, content_length, end, block, None)
    )


def scan_after(last: RequestHead, buffer: bytes, limits: WireLimits, start: int) -> Scanned:
    """As ``scan``, where it has made ``last`` of an earlier head within the same limits.

    Fields that are the same to the byte are compared with its own, which takes a fifth of the time that a
    browser's take to match, and are not counted again. What handlers ask of them is found once.
    """
    block = last[6]
    fields = buffer.find(b"\n", start) + 1
    end = fields + len(block) + 2
    if not (buffer.startswith(block, fields) and buffer.startswith(b"\r\n", end - 2)):
        return scan(buffer, limits, start)
    line = _match_request_line(buffer, start, fields)
    if line is None:
        return DECLINE
    method, target = line.groups()
    if end - start > limits.unquestioned_after_bytes and (
        end - start > limits.max_header_bytes or len(target) > limits.max_target_bytes
    ):
        return DECLINE
    name = "GET" if method == b"GET" else _name_of(method)
    repeated = last[7] or Repeated()
    return _new_tuple(RequestHead, (name, target.decode("ascii"), 1, last[3], last[4], end, block, repeated))


def _name_of(method: bytes) -> str:
    # On 3.13 a dictionary's `get` would lock.
    return _METHODS[method] if method in _METHODS else method.decode("ascii")


def _scan_unfinished(buffer: bytes, limits: WireLimits, start: int) -> Scanned:
    """Whether bytes without a blank line may still become a head; what surely cannot is declined at once.

    Every whole line is looked at, so that a fault in one is found no later than by the reader.
    """
    size = len(buffer) - start
    if size == 0:
        return NEED_MORE
    if size >= limits.max_header_bytes or _match_first_byte(buffer, start) is None:
        return DECLINE
    last = buffer.rfind(b"\n", start)
    if last < 0:
        space = buffer.find(b" ", start)
        too_long = space >= 0 and start + size - space > limits.max_target_bytes + _AROUND_TARGET
        return DECLINE if too_long else NEED_MORE
    match = _match_lines(buffer, start)
    if match is None or match.end() != last + 1 or match[3].count(b"\n") > limits.max_headers:
        return DECLINE
    return NEED_MORE
