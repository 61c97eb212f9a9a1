"""One field line, of a head or of a trailer section (RFC 9110 section 5, RFC 9112 section 5)."""

import re
from typing import Final

from siphon.errors import RequestRefused
from siphon.wire.grammar import FIELD_VALUE, TOKEN

_match_field: Final = re.compile(rb"(" + TOKEN + rb"):(" + FIELD_VALUE + rb")\r\n").fullmatch


def parse_field_line(line: bytes) -> tuple[bytes, bytes]:
    """Read a whole field line, its line end included: the name in lower case, the value stripped.

    Raises RequestRefused(400) for line folding, whitespace before the colon, a control character in the
    value, a bare LF or CR, and a name that is no token.
    """
    match = _match_field(line)
    if match is None:
        raise RequestRefused(400, _fault(line))
    return match[1].lower(), match[2].strip(b" \t")


def _fault(line: bytes) -> str:
    """What is wrong with a line that is no field line."""
    if not line.endswith(b"\r\n"):
        return "a field line ends with a bare LF"
    if line[:1] in b" \t":
        return "a field line is folded"
    name, colon, _ = line.partition(b":")
    if not colon:
        return "a field line has no colon"
    if name.endswith((b" ", b"\t")):
        return "whitespace stands before the colon of a field"
    if re.fullmatch(TOKEN, name) is None:
        return "a field name is not a token"
    return f"the value of the field {name.decode('ascii')} has a control character"
