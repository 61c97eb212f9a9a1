"""The fields of HTTP/2 messages (RFC 9113, sections 8.2 and 8.3): a request's are made, a response's checked.

h2 could do both. It would make an error of the whole connection of one malformed response, and looks at
each character with a loop of Python's.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Final

from hpack import NeverIndexedHeaderTuple

from siphon.errors import ResponseRefused

type Fields = list[tuple[str, str]]

# RFC 9113, section 8.2.2.
_OF_CONNECTION: Final = frozenset(
    {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}
)
_SECRET: Final = frozenset({"authorization", "proxy-authorization"})
_match_name: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+").fullmatch
# Neither NUL, CR nor LF nor another control character, and no whitespace around it.
_match_value: Final = re.compile(rb"(?:[^\x00-\x20\x7f](?:[\t\x20]*[^\x00-\x20\x7f])*+)?").fullmatch
_match_status: Final = re.compile(rb"[1-9][0-9]{2}").fullmatch


class MalformedResponse(ResponseRefused):
    """A response breaks a rule of HTTP/2: an error of its stream alone (RFC 9113, section 8.1.1)."""


def request_fields(
    method: str, scheme: str, authority: str, target: str, fields: Iterable[tuple[str, str]]
) -> list[tuple[bytes, bytes]]:
    """A request's header list. ``authority`` is used where ``fields`` have no Host.

    Names and values have been checked. What speaks of an HTTP/1.1 connection is left out, as are the
    fields that Connection names.
    """
    stripped = [(name.lower(), value.strip(" \t")) for name, value in fields]
    left_out = _OF_CONNECTION
    rest: list[tuple[bytes, bytes]] = []
    for name, value in stripped:
        if name == "connection":
            left_out |= {option.strip().lower() for option in value.split(",")}
    for name, value in stripped:
        if name == "host":
            authority = value
        elif name not in left_out and (name != "te" or value.lower() == "trailers"):
            field = name.encode("ascii"), value.encode("latin-1")
            # What could be guessed byte by byte stays out of the compression's table (RFC 7541, 7.1.3).
            is_secret = name in _SECRET or (name == "cookie" and len(value) < 20)
            rest.append(NeverIndexedHeaderTuple(*field) if is_secret else field)
    return [
        (b":method", method.encode("ascii")),
        (b":scheme", scheme.encode("ascii")),
        (b":authority", authority.encode("latin-1")),
        (b":path", target.encode("ascii")),
        *rest,
    ]


def response_head(headers: Sequence[tuple[bytes, bytes]]) -> tuple[int, Fields]:
    """Status and fields of a response's header list. Raises MalformedResponse."""
    if not headers or headers[0][0] != b":status" or _match_status(headers[0][1]) is None:
        raise _malformed("it does not begin with a status")
    return int(headers[0][1]), checked(headers[1:])


def checked(headers: Sequence[tuple[bytes, bytes]]) -> Fields:
    """Fields without pseudo-header fields, such as trailers, as text. Raises MalformedResponse."""
    fields: Fields = []
    for raw_name, raw_value in headers:
        if _match_name(raw_name) is None:
            raise _malformed(f"{_shown(raw_name)} is no field name")
        if _match_value(raw_value) is None:
            raise _malformed(f"the value of {_shown(raw_name)} has characters that no value can have")
        name = raw_name.decode("ascii")
        if name in _OF_CONNECTION or (name == "te" and raw_value.lower() != b"trailers"):
            raise _malformed(f"the field {name} belongs to HTTP/1.1")
        fields.append((name, raw_value.decode("latin-1")))
    return fields


def _malformed(what: str) -> MalformedResponse:
    return MalformedResponse(f"the answer breaks the rules of HTTP/2: {what}")


def _shown(name: bytes) -> str:
    return repr(name[:100])[1:]
