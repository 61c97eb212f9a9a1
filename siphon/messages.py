"""What a handler gets and what it gives back: Request, Response and the fields of a response."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote

from siphon.errors import HTTPStatusError
from siphon.forwarded import Asked, as_forwarded

if TYPE_CHECKING:
    from siphon.client_certificate import ClientCertificate
    from siphon.config.settings import Network

type FieldValue = str | Sequence[str]
type FieldsArgument = Mapping[str, FieldValue] | Iterable[tuple[str, str]]

_REASONS = {status.value: status.phrase for status in HTTPStatus}


def reason_phrase(status: int) -> str:
    """The registered reason phrase of ``status``; empty where there is none (RFC 9112 section 4)."""
    return _REASONS.get(status, "")


class Head(Protocol):
    """What a Request reads of the head that the wire parsed."""

    @property
    def method(self) -> str: ...
    @property
    def target(self) -> str: ...

    def by_name(self) -> dict[str, str]:
        """The fields' values by their names in lower case, repeated ones joined; the caller's own."""

    def value(self, name: str) -> str | None:
        """One of them: that of the field called ``name``, in lower case."""


class Source(Protocol):
    """What a Request reads from: an exchange on a connection, or a test's."""

    path_params: dict[str, str] | None

    @property
    def head(self) -> Head: ...
    @property
    def body(self) -> bytes: ...
    @property
    def peer(self) -> str: ...
    @property
    def scheme(self) -> str: ...
    @property
    def client_certificate(self) -> ClientCertificate | None: ...
    @property
    def trusted_proxies(self) -> tuple[Network, ...]: ...
    @property
    def disconnected(self) -> bool: ...


class Headers(MutableMapping[str, str]):
    """The fields of a response: names in any case, order kept, a name may have several values.

    Reading a repeated name joins its values with a comma; ``get_all`` gives them one by one.
    Setting a name replaces every value it had; a list sets several.
    """

    __slots__ = ("pairs",)

    def __init__(self, fields: FieldsArgument | None = None) -> None:
        self.pairs: list[tuple[str, str]] = []
        if fields is None:
            return
        if isinstance(fields, Headers):
            # As a mapping it would give repeated values joined.
            self.pairs += fields.pairs
            return
        # A list is told first: an abstract class is asked under locks that all threads share.
        pairs: Iterable[tuple[str, FieldValue]]
        if isinstance(fields, list):
            pairs = fields
        else:
            pairs = fields.items() if isinstance(fields, dict | Mapping) else fields
        for name, value in pairs:
            if type(value) is str and type(name) is str:
                self.pairs.append((name, value))
            else:
                self._extend(name, value)

    def _extend(self, name: object, value: object) -> None:
        if not isinstance(name, str):
            raise TypeError(f"header names are str, not {type(name).__name__}: {name!r}")
        several = isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)
        pairs: list[tuple[str, str]] = []
        for one in value if several else [value]:  # type: ignore[attr-defined]
            if not isinstance(one, str):
                raise TypeError(f"header {name!r}: a value is str or a list of str, not {type(one).__name__}")
            pairs.append((name, one))
        self.pairs += pairs

    def get_all(self, name: str) -> list[str]:
        """Every value of ``name``, in order; empty where there is none."""
        wanted = name.lower()
        return [value for key, value in self.pairs if key.lower() == wanted]

    def add(self, name: str, value: str) -> None:
        """Adds a value and keeps those that ``name`` has."""
        self._extend(name, value)

    def __getitem__(self, name: str) -> str:
        values = self.get_all(name)
        if not values:
            raise KeyError(name)
        return ", ".join(values)

    def __setitem__(self, name: str, value: FieldValue) -> None:
        fresh = Headers([])
        fresh._extend(name, value)
        self.pairs = [pair for pair in self.pairs if pair[0].lower() != name.lower()] + fresh.pairs

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.pairs = [pair for pair in self.pairs if pair[0].lower() != name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(key.lower() == name.lower() for key, _ in self.pairs)

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for name, _ in self.pairs:
            if name.lower() not in seen:
                seen.add(name.lower())
                yield name

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __repr__(self) -> str:
        return f"Headers({self.pairs!r})"


# Small ints are one object each, which is compared in half the time.
_OK: Final = 200


class Response:
    """An outbound response.

    ``status``: 200 to 999. ``headers``: a dict, whose values may be lists, or a list of pairs.
    ``body``: bytes, str (sent as UTF-8) or None. Raises TypeError or ValueError on anything else.
    """

    __slots__ = ("_body", "_headers", "_status")

    def __init__(
        self,
        status: int = 200,
        headers: FieldsArgument | None = None,
        body: bytes | str | None = None,
    ) -> None:
        # The setters check; what needs no check is spared the two calls.
        if status is _OK or (type(status) is int and 200 <= status <= 999):
            self._status = status
        else:
            self.status = status
        self._headers = None if headers is None else Headers(headers)
        if type(body) is bytes:
            self._body = body
        else:
            self.body = body

    @property
    def status(self) -> int:
        """The status code."""
        return self._status

    @status.setter
    def status(self, status: int) -> None:
        if not isinstance(status, int) or isinstance(status, bool):
            raise TypeError(f"status is an int, not {type(status).__name__}")
        if not 200 <= status <= 999:
            raise ValueError(f"status is the code of a final response, 200 to 999, not {int(status)}")
        self._status = int(status)

    @property
    def headers(self) -> Headers:
        """The fields, a mutable mapping: what is set on it is sent."""
        if self._headers is None:
            self._headers = Headers()
        return self._headers

    @property
    def body(self) -> bytes:
        """The body as bytes; str is encoded as UTF-8 when it is set."""
        return self._body

    @body.setter
    def body(self, body: bytes | str | None) -> None:
        if type(body) is bytes:
            self._body = body
        elif body is None:
            self._body = b""
        elif isinstance(body, str):
            self._body = body.encode()
        elif isinstance(body, bytes | bytearray | memoryview):
            self._body = bytes(body)
        else:
            raise TypeError(f"body is bytes, str or None, not {type(body).__name__}")

    def header(self, name: str) -> str | None:
        """One field by its name in any case, repeated values joined; None where it is not set."""
        return self.headers.get(name)

    def raise_for_status(self) -> Response:
        """Returns the response, or raises HTTPStatusError where the status is 400 or more."""
        if self._status < 400:
            return self
        raise HTTPStatusError(f"{self._status} {reason_phrase(self._status)}".rstrip(), response=self)

    def __repr__(self) -> str:
        return f"<Response {self._status}, {len(self._body)} bytes>"


def plain(status: int, text: str, *fields: tuple[str, str]) -> Response:
    """One of siphon's own short answers, as ``text/plain; charset=utf-8``."""
    return Response(status, [("Content-Type", "text/plain; charset=utf-8"), *fields], text)


class Request:
    """An inbound request, whole: its body has been read before a handler sees it.

    Used by one thread at a time. Other attributes may be set on it, to hand something from a
    middleware to the handler.
    """

    __slots__ = ("__dict__", "_source")
    # Made when they are first asked for.
    _headers: dict[str, str] | None = None
    _query: list[tuple[str, str]] | None = None
    _query_params: dict[str, str] | None = None
    _asked: Asked | None = None

    def __init__(self, source: Source) -> None:
        self._source = source

    @property
    def method(self) -> str:
        """The method as received; it stays ``"HEAD"`` where a GET handler answers it."""
        return self._source.head.method

    @property
    def raw_path(self) -> str:
        """The path as received: percent-encoded, without the query."""
        return self._source.head.target.partition("?")[0]

    @property
    def raw_query(self) -> str:
        """The query as received, without its question mark; empty where there is none."""
        return self._source.head.target.partition("?")[2]

    @property
    def path(self) -> str:
        """The path, percent-decoded as UTF-8, without the query."""
        raw = self.raw_path
        return unquote(raw) if "%" in raw else raw

    @property
    def path_params(self) -> dict[str, str]:
        """The values of the matched route's named segments, percent-decoded."""
        source = self._source
        if source.path_params is None:
            source.path_params = {}
        return source.path_params

    @property
    def query(self) -> list[tuple[str, str]]:
        """Every ``(name, value)`` pair of the query, in order; ``+`` is a space, blank values are kept."""
        if self._query is None:
            self._query = _pairs(self._source.head.target.partition("?")[2])
        return self._query

    @property
    def query_params(self) -> dict[str, str]:
        """The query as a dict; of a repeated name the last value."""
        params = self._query_params
        if params is None:
            raw = self._source.head.target.partition("?")[2]
            # Most have nothing that is escaped. A dict of the list of pairs takes half as long again.
            self._query_params = params = dict(self.query) if "%" in raw else _last_values(raw)
        return params

    @property
    def headers(self) -> dict[str, str]:
        """The fields with lowercase names; repeated ones joined with ``, `` (Cookie with ``; ``)."""
        if self._headers is None:
            self._headers = self._source.head.by_name()
        return self._headers

    @property
    def client(self) -> str:
        """The client's address as ``ip:port``.

        Behind a trusted proxy the right-most untrusted entry of X-Forwarded-For, or of Forwarded, with
        port 0; on a unix-domain socket ``unix:0``.
        """
        source = self._source
        return self._as_forwarded().client if source.trusted_proxies else source.peer

    @property
    def scheme(self) -> str:
        """``https`` or ``http``: the connection's own, or what a trusted proxy says that the client used."""
        source = self._source
        return self._as_forwarded().scheme if source.trusted_proxies else source.scheme

    @property
    def host(self) -> str:
        """The host that the client asked for, with a port where it gave one.

        The Host field, or what a trusted proxy says in its place. Empty where an HTTP/1.0 client sends
        none. It is the client's word: check it before it goes into a link or a redirect.
        """
        if self._source.trusted_proxies:
            return self._as_forwarded().host
        return self.headers.get("host", "")

    def _as_forwarded(self) -> Asked:
        if self._asked is None:
            source = self._source
            headers = self.headers
            own = Asked(source.peer, source.scheme, headers.get("host", ""))
            self._asked = as_forwarded(own, headers, source.trusted_proxies)
        return self._asked

    @property
    def client_cert(self) -> ClientCertificate | None:
        """The certificate that the client has shown, on a listener with ``tls.client_ca``; else None."""
        return self._source.client_certificate

    def body(self) -> bytes:
        """The request body, whole and decoded from its transfer coding."""
        return self._source.body

    def header(self, name: str) -> str | None:
        """One field by its name in any case; None where the client sent none."""
        name = name.lower()
        if self._headers is not None:
            return self._headers.get(name)
        return self._source.head.value(name)

    def is_disconnected(self) -> bool:
        """Whether the client has stopped sending (it may only have half-closed) or has gone away."""
        return self._source.disconnected

    def __repr__(self) -> str:
        return f"<Request {self.method} {self._source.head.target}>"


def _pairs(query: str) -> list[tuple[str, str]]:
    """As ``urllib.parse.parse_qsl`` with blank values kept; a fifth of its time where nothing is escaped."""
    if "+" in query:
        query = query.replace("+", " ")
    parts = [part.partition("=") for part in query.split("&") if part]
    if "%" in query:
        return [(unquote(part[0]), unquote(part[2])) for part in parts]
    return [(part[0], part[2]) for part in parts]


def _last_values(query: str) -> dict[str, str]:
    """Of each name the last value, where nothing is escaped."""
    params: dict[str, str] = {}
    for part in query.replace("+", " ").split("&"):
        if part:
            name, _, value = part.partition("=")
            params[name] = value
    return params
