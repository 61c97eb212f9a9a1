"""The answer to an outbound call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self

from siphon.errors import HTTPStatusError
from siphon.messages import Response, reason_phrase

if TYPE_CHECKING:
    from siphon.messages import FieldsArgument


class ClientResponse(Response):
    """A Response whose header names are in lower case, and that knows the call it answers.

    ``method`` and ``url`` are the call's, after any redirects, the URL without user and password.
    """

    __slots__ = ("method", "url")

    def __init__(self, status: int, headers: FieldsArgument, body: bytes, *, method: str, url: str) -> None:
        # Not super(), which looks its name up under a lock that all threads share.
        Response.__init__(self, status, headers, body)
        self.method = method
        self.url = url

    def raise_for_status(self) -> Self:
        """Returns the response, or raises HTTPStatusError where the status is 400 or more."""
        if self.status < 400:
            return self
        message = f"{self.status} {reason_phrase(self.status)}".rstrip()
        raise HTTPStatusError(message, response=self, method=self.method, url=self.url)
