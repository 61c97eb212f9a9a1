"""Every error that siphon raises, by whose fault it is."""

from __future__ import annotations

import builtins
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.messages import Response


class SiphonError(Exception):
    """The base of siphon's own errors."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with the configuration, and where: ``http.yaml:7:5: servers[0].listen: ...``."""

    where: str
    """``http.yaml:7:5`` (lines and columns from 1), ``--listen`` or ``SIPHON_LISTEN``."""
    key: str
    """The dotted path of the key, such as ``servers[0].listen``; may be empty."""
    message: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.where, self.key, self.message) if part)


class ConfigError(SiphonError):
    """The operator's configuration is wrong: exit code 2. Carries every problem found, not the first."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = tuple(problems)


class ScriptError(SiphonError):
    """The script cannot be used: exit code 3. The message is ready to print, the user's traceback in it."""


class StartError(SiphonError):
    """Something outside the script keeps the server from starting, such as a taken port: exit code 3."""


class RequestRefused(SiphonError):
    """The client broke a rule of HTTP, or asks for too much: answered with ``status`` and ``fields``.

    The connection is closed after it.
    """

    def __init__(self, status: int, reason: str, *fields: tuple[str, str]) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.fields = fields


class OtherProtocol(RequestRefused):
    """What the client speaks is no HTTP at all, which the first byte shows: logged once, not for each."""


class ResponseRefused(SiphonError):
    """An upstream broke a rule of HTTP. ``broke_off``: its connection ended before the answer did."""

    def __init__(self, reason: str, *, broke_off: bool = False) -> None:
        super().__init__(reason)
        self.broke_off = broke_off


class ResponseError(SiphonError):
    """The script's response cannot be sent as it is; the message names the header at fault."""


class InternalError(SiphonError):
    """A bug in siphon: exit code 1."""


class IllegalMove(InternalError):
    """A connection was asked for a move that its state does not have."""


class ClientError(SiphonError):
    """The base of what an outbound call of ``http.Client`` can end in.

    ``method`` and ``url`` are the call's, the URL without user and password; None where a response
    was not a client's. What caused it is in ``__cause__`` and in the message.
    """

    def __init__(self, message: str, *, method: str | None = None, url: str | None = None) -> None:
        super().__init__(message if method is None else f"{method} {url}: {message}")
        self.method = method
        self.url = url


class ConnectError(ClientError):
    """No connection: the name has no address, nobody listens there, or the proxy refuses."""


class TimeoutError(ClientError, builtins.TimeoutError):  # noqa: A001 - http.TimeoutError, and caught as both
    """``timeout_ms`` has passed; the message says what the call was at."""


class PoolTimeout(TimeoutError):
    """``timeout_ms`` passed before one of the pool's connections was free."""


class TLSError(ClientError):
    """The handshake failed: a certificate not trusted, expired or of another host, or no TLS at all."""


class ProtocolError(ClientError):
    """The upstream broke a rule of HTTP, closed too early, or sent more than ``max_response_bytes``.

    ``broke_off``: the connection ended before the answer did, so that another try may fare better.
    """

    def __init__(
        self, message: str, *, method: str | None = None, url: str | None = None, broke_off: bool = False
    ) -> None:
        super().__init__(message, method=method, url=url)
        self.broke_off = broke_off


class HTTPStatusError(ClientError):
    """Raised by ``Response.raise_for_status()`` on a 4xx or 5xx; ``response`` is the response."""

    def __init__(
        self, message: str, *, response: Response, method: str | None = None, url: str | None = None
    ) -> None:
        super().__init__(message, method=method, url=url)
        self.response = response


class UnexpectedCall(SiphonError, AssertionError):
    """A script under test made an outbound call for which the test has set no answer."""


class RequestCancelled(BaseException):
    """The request has ended while a sync ``call_next`` was waiting: a 504, a disconnect or a stop."""
