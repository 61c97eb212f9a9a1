"""The response on one stream of an HTTP/2 connection."""

import re
from collections.abc import Sequence
from typing import Final

from siphon.errors import ResponseRefused
from siphon.wire.http2_fields import MalformedResponse, checked, response_head

_WITHOUT_BODY: Final = frozenset({204, 304})
_match_length: Final = re.compile(r"[0-9]{1,15}").fullmatch


class StreamResponse:
    """Puts the response to one request together. Sans-I/O, for one thread.

    ``status`` is None until the head of the final response has come. Each method raises
    MalformedResponse, and ResponseRefused for a body that is too large: the call then fails alone.
    """

    __slots__ = ("_length", "_max_body_bytes", "_method", "_parts", "_received", "fields", "status")

    def __init__(self, method: str, max_body_bytes: int) -> None:
        self._method = method
        self._max_body_bytes = max_body_bytes
        self._parts: list[bytes] = []
        self._received = 0
        # What Content-Length promises; 0 where the response has no body whatever it says.
        self._length: int | None = None
        self.status: int | None = None
        self.fields: list[tuple[str, str]] = []

    @property
    def body(self) -> bytes:
        """The body received so far."""
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)

    def receive_interim(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Takes the head of an interim response, which is passed over."""
        status, _ = response_head(headers)
        if status == 101:
            raise MalformedResponse("the upstream switched protocols, which HTTP/2 does not know")

    def receive_head(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Takes the head of the final response."""
        self.status, self.fields = response_head(headers)
        lengths = {value for name, value in self.fields if name == "content-length"}
        if len(lengths) > 1 or any(_match_length(value) is None for value in lengths):
            raise MalformedResponse(f"the Content-Length of the answer is {', '.join(sorted(lengths))!r}")
        if self._method == "HEAD" or self.status in _WITHOUT_BODY:
            self._length = 0
        elif lengths:
            self._length = int(lengths.pop())
            self._check_size(self._length)

    def receive(self, data: bytes) -> None:
        """Takes some of the body."""
        if not data:
            return
        self._received += len(data)
        if self._length is not None and self._received > self._length:
            if not self._length:
                raise MalformedResponse("the answer has a body, and cannot have one")
            raise MalformedResponse(f"the body is longer than the {self._length} bytes of its Content-Length")
        self._check_size(self._received)
        self._parts.append(data)

    def receive_trailers(self, headers: Sequence[tuple[bytes, bytes]]) -> None:
        """Takes the trailers, which are dropped."""
        checked(headers)

    def finish(self) -> None:
        """The stream has ended."""
        if self._length is not None and self._received < self._length:
            raise MalformedResponse(
                f"the body ended after {self._received} of the {self._length} bytes of its Content-Length"
            )

    def _check_size(self, size: int) -> None:
        if size > self._max_body_bytes:
            raise ResponseRefused(f"the body is larger than {self._max_body_bytes} bytes")
