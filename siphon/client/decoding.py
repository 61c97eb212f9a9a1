"""Content codings of a response: gzip and deflate (RFC 9110, section 8.4.1)."""

from __future__ import annotations

import re
import zlib
from typing import TYPE_CHECKING, Final

from siphon.errors import ResponseRefused

if TYPE_CHECKING:
    from collections.abc import Callable

_GZIP_OR_ZLIB: Final = 47  # windowBits: the largest window, and either header
_RAW: Final = -15
_CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})
# One is usual and two happen; each of them costs as much as a whole body.
_CODINGS_MAX: Final = 5
# How much of a member is looked at first. What it does not need is copied: the whole rest, each time, would
# take a body of many members time by its square.
_SLICE_BYTES: Final = 1_024
_SLICE_MAX_BYTES: Final = 1_048_576
_match_padding: Final = re.compile(rb"\0*+").match


def decoded(
    fields: list[tuple[str, str]], body: bytes, max_bytes: int, go_on: Callable[[], object] | None = None
) -> tuple[list[tuple[str, str]], bytes]:
    """The body without its codings, and the fields without what described them.

    A body with a coding that was not asked for stays as it is, its fields too. Raises ResponseRefused
    where it is broken, or larger than ``max_bytes`` once decoded.

    ``go_on``: called now and then, and may raise where nobody waits for the body any more.
    """
    given = ",".join(value for name, value in fields if name == "content-encoding")
    codings = [coding.strip().lower() for coding in given.split(",") if coding.strip()]
    codings = [coding for coding in codings if coding != "identity"]
    if not codings or not _CODINGS.issuperset(codings):
        return fields, body
    if len(codings) > _CODINGS_MAX:
        raise ResponseRefused(f"the body has {len(codings)} codings, and over {_CODINGS_MAX} are not undone")
    for _ in codings:
        body = _inflated(body, max_bytes, go_on)
    return [field for field in fields if field[0] not in ("content-encoding", "content-length")], body


def _inflated(data: bytes, max_bytes: int, go_on: Callable[[], object] | None) -> bytes:
    """One gzip body of any number of members, or one in zlib's format or in deflate's alone."""
    parts: list[bytes] = []
    window = _GZIP_OR_ZLIB
    begin, left = 0, max_bytes
    while begin < len(data):
        try:
            end, left = _inflate_member(memoryview(data)[begin:], window, parts, left, go_on)
        except zlib.error as error:
            if begin or parts or window == _RAW or data[:2] == b"\x1f\x8b":
                raise ResponseRefused(f"the encoded body is broken: {error}") from error
            # Servers send "deflate" without zlib's header as well as with it.
            window = _RAW
            continue
        if left < 0:
            raise ResponseRefused(f"the body is larger than {max_bytes} bytes once it is decoded")
        padding = _match_padding(data, begin + end)  # between gzip members
        assert padding is not None
        begin = padding.end()
    return b"".join(parts)


def _inflate_member(
    data: memoryview, window: int, parts: list[bytes], left: int, go_on: Callable[[], object] | None
) -> tuple[int, int]:
    """Adds what the member at the front holds to ``parts``.

    Returns where it ends, and how many more bytes may come: fewer than none where they are too many.
    """
    stream = zlib.decompressobj(window)
    taken, size = 0, _SLICE_BYTES
    while not stream.eof and left >= 0:
        if go_on is not None:
            go_on()
        if taken == len(data):
            raise ResponseRefused("the encoded body is cut short", broke_off=True)
        given = data[taken : taken + size]
        part = stream.decompress(given, left + 1)
        taken += len(given) - len(stream.unused_data)
        left -= len(part)
        if part:
            parts.append(part)
        size = min(2 * size, _SLICE_MAX_BYTES)
    return taken, left
