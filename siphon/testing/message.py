"""A test's request as the bytes that a client would send, and what comes back as a Response."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import quote, urlencode

from siphon.client.request import check_field, check_method
from siphon.messages import Headers, Request, Response
from siphon.wire.joined import join_all

if TYPE_CHECKING:
    from collections.abc import Mapping

    from siphon.client_certificate import ClientCertificate
    from siphon.config.settings import Network
    from siphon.messages import FieldsArgument

type Body = bytes | bytearray | memoryview | str | None
type QueryParams = Mapping[str, object] | None
type Scheme = Literal["http", "https"]

# Visible ASCII is sent as it is, percent signs included; the rest is encoded, as browsers do.
_VISIBLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_PLAIN_TARGET: Final = re.compile(r"[\x21-\x7e]+")
_LINE_ENDS: Final = re.compile(r"[\r\n]")
_HOST: Final = "localhost"


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends a request: its address, what it speaks and the certificate that it shows.

    ``scheme`` is None where it speaks what the listener does, or must for its certificate. Raises
    ValueError for a client that there cannot be.
    """

    client: str
    scheme: Scheme | None = None
    certificate: ClientCertificate | None = None

    def __post_init__(self) -> None:
        if self.scheme not in (None, "http", "https"):
            raise ValueError(f"scheme is http or https, not {self.scheme!r}")
        if self.certificate is not None and self.scheme == "http":
            raise ValueError("a client shows its certificate over https alone, not over http")

    def scheme_on(self, listener: str) -> str:
        """What it speaks to a listener whose own scheme is ``listener``."""
        return self.scheme or (listener if self.certificate is None else "https")


def request_bytes(
    method: str, path: str, headers: FieldsArgument | None, query_params: QueryParams, body: Body
) -> bytes:
    """The whole message. Host and, with a body, Content-Length are added where ``headers`` lack them.

    Raises ValueError for a line end in the method or a field, and for a character that no field can have.
    """
    fields = [] if headers is None else Headers(headers).pairs
    content = _content(body)
    names = {name.lower() for name, _ in fields}
    lines = [f"{method} {_target(path, query_params)} HTTP/1.1"]
    if "host" not in names:
        lines.append(f"Host: {_HOST}")
    lines += [f"{name}: {value}" for name, value in fields]
    if body is not None and not names & {"content-length", "transfer-encoding"}:
        lines.append(f"Content-Length: {len(content)}")
    for line in lines:
        if _LINE_ENDS.search(line):
            raise ValueError(f"no client sends a line end within a line: {line!r}")
    try:
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
    except UnicodeEncodeError as error:
        raise ValueError(f"a header cannot have the character {error.object[error.start]!r}") from None
    return head + content


def _content(body: Body) -> bytes:
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body)
    raise TypeError(f"body is bytes, str or None, not {type(body).__name__}")


def _target(path: str, query_params: QueryParams) -> str:
    if query_params:
        path, mark, query = path.partition("?")
        # What stands in the path comes last, and so wins in req.query_params.
        path = f"{path}?{urlencode(query_params, doseq=True)}{'&' if mark else ''}{query}"
    return path if _PLAIN_TARGET.fullmatch(path) else quote(path, safe=_VISIBLE)


def response_of(message: bytes) -> Response:
    """The response that a client makes of a whole message."""
    head, _, body = message.partition(b"\r\n\r\n")
    status_line, *lines = head.decode("latin-1").split("\r\n")
    fields = [line.partition(":") for line in lines]
    status = int(status_line.split(" ", 2)[1])
    return Response(status, [(name, value.strip(" \t")) for name, _, value in fields], body)


@dataclass(slots=True)
class _GivenHead:
    """A head that was never received."""

    method: str
    target: str
    pairs: tuple[tuple[str, str], ...]

    def by_name(self) -> dict[str, str]:
        return join_all([(name.encode("latin-1"), value.encode("latin-1")) for name, value in self.pairs])

    def value(self, name: str) -> str | None:
        return self.by_name().get(name)


@dataclass(slots=True)
class _Given:
    """What a MockRequest reads from."""

    head: _GivenHead
    body: bytes
    path_params: dict[str, str] | None
    peer: str
    trusted_proxies: tuple[Network, ...] = ()
    disconnected: bool = False
    scheme: str = "http"
    client_certificate: ClientCertificate | None = None


def _received(field: tuple[str, str]) -> tuple[str, str]:
    """A field as a server receives it. Raises ValueError for one that it would refuse."""
    name, value = field
    check_field(name, value)
    return name, value.strip(" \t")


class MockRequest(Request):
    """A request for calling a handler directly, without routes and middlewares.

    ``path`` is what ``req.path`` is to be. Raises TypeError or ValueError for what no request can have.
    """

    __slots__ = ()

    def __init__(
        self,
        *,
        method: str = "GET",
        path: str = "/",
        path_params: dict[str, str] | None = None,
        query_params: Mapping[str, object] | None = None,
        headers: FieldsArgument | None = None,
        client: str = "127.0.0.1:0",
        body: Body = b"",
        scheme: Scheme | None = None,
        client_cert: ClientCertificate | None = None,
    ) -> None:
        sender = Sender(client, scheme, client_cert)
        query = f"?{urlencode(query_params, doseq=True)}" if query_params else ""
        check_method(method)
        pairs = tuple(map(_received, [] if headers is None else Headers(headers).pairs))
        head = _GivenHead(method.upper(), quote(path) + query, pairs)
        super().__init__(
            _Given(
                head,
                _content(body),
                path_params,
                client,
                scheme=sender.scheme_on("http"),
                client_certificate=client_cert,
            )
        )
