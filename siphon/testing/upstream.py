"""What stands for the network of ``http.Client`` in a test: calls are recorded, answers are canned."""

from __future__ import annotations

import re
import threading
from collections import deque
from typing import TYPE_CHECKING, Final, TypedDict

from siphon.client.response import ClientResponse
from siphon.config.settings import ClientSettings
from siphon.errors import ClientError, HTTPStatusError, UnexpectedCall
from siphon.messages import Headers, Response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from siphon.client.request import OutboundRequest

type Canned = Response | BaseException | type[BaseException]

_HOST_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.\-]*[A-Za-z0-9])?")


class SentRequest(TypedDict):
    """One outbound call, as the script made it."""

    method: str
    path: str
    """As it was called, with the query that stood in it."""
    url: str
    """The whole URL; the path alone where a named client's base URL is not known."""
    name: str | None
    """The client's name; None for an inline one."""
    base_url: str | None
    headers: Headers
    """What the script gave; siphon adds Host and others to it."""
    body: bytes


class Upstream:
    """Answers the calls of every ``http.Client`` of one harness. Any thread may call any method.

    An answer comes from the queue of ``add_response``, else from what was set for the call's path, else
    from ``set_default_response``; else it is 200 without a body or, where ``strict``, UnexpectedCall.
    ``_lock`` guards the answers and ``_unexpected``.
    """

    def __init__(self, clients: Mapping[str, ClientSettings], *, strict: bool) -> None:
        self.sent_requests: list[SentRequest] = []
        self._clients = clients
        self._strict = strict
        self._lock = threading.Lock()
        self._queue: deque[Response] = deque()
        self._by_path: dict[str, Canned] = {}
        self._default: Response | None = None
        self._unexpected: UnexpectedCall | None = None

    # What a test says --------------------------------------------------------------------------

    def add_response(self, response: Response) -> None:
        """Queues the answer to the next call, whichever it is; each answers one."""
        _check(response)
        with self._lock:
            self._queue.append(response)

    def set_response(self, path: str, response: Response) -> None:
        """Sets the answer to every call of ``path``, as the script writes it, query included."""
        _check(response)
        with self._lock:
            self._by_path[path] = response

    def set_default_response(self, response: Response) -> None:
        """Sets the answer to every call that nothing else is set for."""
        _check(response)
        with self._lock:
            self._default = response

    def client_error(self, path: str, exc: BaseException | type[BaseException]) -> None:
        """Makes every call of ``path`` raise ``exc``, a class or an instance."""
        if not isinstance(exc, BaseException) and not (
            isinstance(exc, type) and issubclass(exc, BaseException)
        ):
            raise TypeError(f"client_error takes an exception, not {exc!r}")
        if exc is HTTPStatusError:
            raise TypeError(
                "HTTPStatusError comes of a response: use set_response with a status of 400 or more"
            )
        with self._lock:
            self._by_path[path] = exc

    def clear(self) -> None:
        """Forgets the answers and the recorded calls."""
        with self._lock:
            self._queue.clear()
            self._by_path.clear()
            self._default = None
            self._unexpected = None
        self.sent_requests.clear()

    # What a client asks ------------------------------------------------------------------------

    def named(self, name: str) -> CannedTransport:
        """The transport of ``http.Client(name)``, whatever the name."""
        if name in self._clients:
            return CannedTransport(self, self._clients[name], name)
        host = name if _HOST_NAME.fullmatch(name) else "upstream"
        return CannedTransport(self, ClientSettings(base_url=f"http://{host}"), name, base_is_known=False)

    def inline(self, settings: ClientSettings) -> CannedTransport:
        """The transport of an inline client."""
        return CannedTransport(self, settings, None)

    def answer(self, request: OutboundRequest) -> Response:
        """What ``request`` is answered with; raises what was set with ``client_error``, or UnexpectedCall."""
        with self._lock:
            canned = self._queue.popleft() if self._queue else self._by_path.get(request.path, self._default)
            if canned is None and self._strict:
                canned = UnexpectedCall(
                    f"{request.method} {request.path}: no answer is set for this outbound call; "
                    "use add_response, set_response or set_default_response"
                )
                self._unexpected = self._unexpected or canned
        if canned is None:
            return Response()
        if isinstance(canned, Response):
            return canned
        raise _made(canned, request)

    def take_unexpected(self) -> UnexpectedCall | None:
        """The first unexpected call since this was last asked; the script may have caught its exception."""
        with self._lock:
            unexpected, self._unexpected = self._unexpected, None
        return unexpected


class CannedTransport:
    """Sends the requests of one client nowhere, and has them answered by an Upstream."""

    def __init__(
        self, upstream: Upstream, settings: ClientSettings, name: str | None, *, base_is_known: bool = True
    ) -> None:
        self.settings = settings
        self._upstream = upstream
        self._name = name
        self._base_is_known = base_is_known

    async def send(self, request: OutboundRequest, deadline: float) -> ClientResponse:
        """Records the request, and returns or raises what is set for it."""
        known = self._base_is_known
        self._upstream.sent_requests.append(
            {
                "method": request.method,
                "path": request.path,
                "url": str(request.url) if known else request.path,
                "name": self._name,
                "base_url": self.settings.base_url if known else None,
                "headers": Headers(request.given),
                "body": request.body,
            }
        )
        response = self._upstream.answer(request)
        lower = [(name.lower(), value) for name, value in response.headers.pairs]
        return ClientResponse(
            response.status, lower, response.body, method=request.method, url=str(request.url)
        )

    def release(self) -> None:
        """There is nothing to close."""

    def drop(self) -> None:
        """Nor then."""


def _check(response: object) -> None:
    if not isinstance(response, Response):
        raise TypeError(f"an answer is a MockResponse, not {response!r}")


def _made(canned: BaseException | type[BaseException], request: OutboundRequest) -> BaseException:
    """The exception to raise for ``request``."""
    if isinstance(canned, BaseException):
        return canned.with_traceback(None)
    if issubclass(canned, ClientError):
        return canned("set by the test", method=request.method, url=str(request.url))
    return canned()
