"""Content codings of a response: gzip and deflate (RFC 9110, section 8.4.1)."""

from __future__ import annotations

import zlib
from typing import Final

from siphon.errors import ResponseRefused

_GZIP_OR_ZLIB: Final = 47  # windowBits: the largest window, and either header
_RAW: Final = -15
_CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})


def decoded(
    fields: list[tuple[str, str]], body: bytes, max_bytes: int
) -> tuple[list[tuple[str, str]], bytes]:
    """The body without its codings, and the fields without what described them.

    A body with a coding that was not asked for stays as it is, its fields too. Raises ResponseRefused
    where it is broken, or larger than ``max_bytes`` once decoded.
    """
    given = ",".join(value for name, value in fields if name == "content-encoding")
    codings = [coding.strip().lower() for coding in given.split(",") if coding.strip()]
    codings = [coding for coding in codings if coding != "identity"]
    if not codings or not _CODINGS.issuperset(codings):
        return fields, body
    for _ in codings:
        body = _inflated(body, max_bytes)
    return [field for field in fields if field[0] not in ("content-encoding", "content-length")], body


def _inflated(data: bytes, max_bytes: int) -> bytes:
    """One gzip body of any number of members, or one in zlib's format or in deflate's alone."""
    parts: list[bytes] = []
    left = max_bytes
    window = _GZIP_OR_ZLIB
    try:
        while data:
            stream = zlib.decompressobj(window)
            try:
                part = stream.decompress(data, left + 1)
            except zlib.error:
                if parts or window == _RAW or data[:2] == b"\x1f\x8b":
                    raise
                # Servers send "deflate" without zlib's header as well as with it.
                window = _RAW
                continue
            left -= len(part)
            if left < 0:
                raise ResponseRefused(f"the body is larger than {max_bytes} bytes once it is decoded")
            parts.append(part)
            if not stream.eof:
                raise ResponseRefused("the encoded body is cut short", broke_off=True)
            data = stream.unused_data.lstrip(b"\0")  # padding between gzip members
    except zlib.error as error:
        raise ResponseRefused(f"the encoded body is broken: {error}") from error
    return b"".join(parts)
