"""Every error that siphon raises, by whose fault it is."""

from __future__ import annotations

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


class ProtocolError(SiphonError):
    """The client broke a rule of HTTP: answered with ``status``, then the connection is closed."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class ResponseError(SiphonError):
    """The script's response cannot be sent as it is; the message names the header at fault."""


class InternalError(SiphonError):
    """A bug in siphon: exit code 1."""


class IllegalMove(InternalError):
    """A connection was asked for a move that its state does not have."""


class HTTPStatusError(SiphonError):
    """Raised by ``Response.raise_for_status()`` on a 4xx or 5xx; ``response`` is the response."""

    def __init__(self, message: str, *, response: Response) -> None:
        super().__init__(message)
        self.response = response


class RequestCancelled(BaseException):
    """The request has ended while a sync ``call_next`` was waiting: a 504, a disconnect or a stop."""
