"""The grammar that the scanner and the full reader share: byte patterns from RFC 3986, 9110 and 9112.

Every repetition that could be tried in more than one way is possessive, so that matching stays linear.
"""

from typing import Final

TCHAR: Final = rb"!#$%&'*+\-.^_`|~0-9A-Za-z"
"""What a token is made of (RFC 9110 5.6.2); to be used inside a character class."""

TOKEN: Final = rb"[" + TCHAR + rb"]++"

FIELD_VALUE: Final = rb"[\t\x20-\x7e\x80-\xff]*+"
"""A field value with the whitespace around it: no control character but HTAB (RFC 9110 5.5)."""

OWS: Final = rb"[ \t]*+"

VISIBLE_TARGET: Final = rb"[\x21\x22\x24-\x7e]"
"""A character of a request target: visible ASCII, and never the ``#`` of a fragment."""

_HOST_CHAR = rb"[A-Za-z0-9\-._~!$&'()*+;=]"  # RFC 3986 reg-name without the comma: lists are refused
_ESCAPE = rb"%[0-9A-Fa-f]{2}"
_REG_NAME = rb"(?=[A-Za-z0-9\-._~!$&'()*+;=%])" + _HOST_CHAR + rb"*+(?:" + _ESCAPE + _HOST_CHAR + rb"*+)*+"


def _ipv6_address() -> bytes:
    """The nine forms of an IPv6 address (RFC 3986 3.2.2), by where ``::`` stands."""
    group = rb"[0-9A-Fa-f]{1,4}"
    octet = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
    last_two = rb"(?:%b:%b|%b(?:\.%b){3})" % (group, group, octet, octet)
    forms = [rb"(?:%b:){6}%b" % (group, last_two), rb"::(?:%b:){5}%b" % (group, last_two)]
    tails = [rb"(?:%b:){%d}%b" % (group, count, last_two) for count in (4, 3, 2, 1, 0)] + [group, b""]
    forms += [rb"(?:(?:%b:){0,%d}%b)?::%b" % (group, most, group, tail) for most, tail in enumerate(tails)]
    return rb"(?:" + rb"|".join(forms) + rb")"


IPV6_ADDRESS: Final = _ipv6_address()

PORT: Final = rb"(?:6553[0-5]|655[0-2][0-9]|65[0-4][0-9]{2}|6[0-4][0-9]{3}|[0-5]?[0-9]{1,4})"
"""A port in at most five digits, 65535 at most."""

URI_HOST: Final = rb"(?:" + _REG_NAME + rb"|\[" + IPV6_ADDRESS + rb"\])"
"""A registered name, an IPv4 address or a bracketed IPv6 address; never empty."""

HOST: Final = URI_HOST + rb"(?::" + PORT + rb"?)?"
"""The value of a Host field: no userinfo, no path, no list; an empty port is allowed (RFC 3986 3.2.3)."""


def any_case(word: str) -> bytes:
    """A pattern for ``word`` (ASCII) in any case; cheaper than an inline ignore-case flag."""
    return b"".join(
        b"[%b%b]" % (letter.upper().encode(), letter.lower().encode())
        if letter.isalpha()
        else b"[%b]" % letter.encode()
        for letter in word
    ).replace(b"[-]", b"-")
