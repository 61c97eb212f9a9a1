"""From when until when a certificate is valid: the ``ssl`` module tells it of verified peers alone."""

from __future__ import annotations

import re
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

_CERTIFICATE: Final = re.compile(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", re.DOTALL)
# Tags of ASN.1, as a certificate in DER has them (RFC 5280, section 4.1): its version, which may be left
# out, and the kind of time that has two digits for the year.
_VERSION: Final = 0xA0
_UTC_TIME: Final = 0x17
_LONG: Final = 0x80


class Validity(NamedTuple):
    """The first and the last moment at which a certificate is valid, in UTC."""

    begins: datetime
    ends: datetime


def read_validity(pem: str) -> Validity:
    """That of the first certificate in ``pem``, which is a server's own. Raises ValueError."""
    found = _CERTIFICATE.search(pem)
    if found is None:
        raise ValueError("no certificate")
    (_, certificate), *_ = _elements(ssl.PEM_cert_to_DER_cert(found[0]))
    (_, signed), *_ = _elements(certificate)
    # The serial number, the algorithm and the issuer come before it.
    _, _, _, dates, *_ = [content for tag, content in _elements(signed) if tag != _VERSION]
    begins, ends = [_moment(tag, content.decode("ascii")) for tag, content in _elements(dates)]
    return Validity(begins, ends)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and the content of each element of a sequence in DER. Raises ValueError."""
    at = 0
    while at < len(data):
        tag, length = data[at], int.from_bytes(data[at + 1 : at + 2])
        at += 2
        if length >= _LONG:
            digits = length - _LONG
            length = int.from_bytes(data[at : at + digits])
            at += digits
        if at + length > len(data):
            raise ValueError("cut off")
        yield tag, data[at : at + length]
        at += length


def _moment(tag: int, text: str) -> datetime:
    if tag == _UTC_TIME:
        text = f"{'19' if text[:2] >= '50' else '20'}{text}"
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)
