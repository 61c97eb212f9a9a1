"""An outbound request, checked and complete: what a transport sends."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from siphon.messages import Headers
from siphon.url import join, parse_url
from siphon.version import __version__

if TYPE_CHECKING:
    from collections.abc import Sequence

    from siphon.config.settings import ClientSettings
    from siphon.messages import FieldsArgument
    from siphon.url import Url

type Body = bytes | bytearray | memoryview | str | None
type Params = Mapping[str, object] | Iterable[tuple[str, object]] | None

# RFC 9110, section 9.2.2.
IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})
# These expect no content: without any they send no Content-Length (RFC 9110, section 8.6).
_WITHOUT_CONTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "DELETE", "TRACE"})
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
# How a message is framed and whether the connection goes on is not the script's to say.
_FRAMING: Final = frozenset(
    {"transfer-encoding", "keep-alive", "proxy-connection", "upgrade", "http2-settings"}
)
_AGENT: Final = f"siphon/{__version__}"


@dataclass(frozen=True, slots=True)
class OutboundRequest:
    """What goes over the wire. ``fields`` are checked, Host and Content-Length among them."""

    method: str
    url: Url
    fields: tuple[tuple[str, str], ...]
    body: bytes
    path: str
    """As the script gave it, for the records of a test; after a redirect the target."""
    given: tuple[tuple[str, str], ...] = ()
    """The fields that the script gave, likewise."""

    @property
    def is_idempotent(self) -> bool:
        """Whether sending it twice has the effect of sending it once (RFC 9110, section 9.2.2)."""
        return self.method in IDEMPOTENT


def make_request(
    settings: ClientSettings,
    base: Url | None,
    method: str,
    path: str,
    *,
    params: Params = None,
    headers: FieldsArgument | None = None,
    body: Body = None,
    json: object = None,
) -> OutboundRequest:
    """Checks a call's arguments and puts its request together.

    Raises TypeError for an argument of the wrong type and ValueError for one of the wrong value, such
    as a header with CR or LF in it.
    """
    check_method(method)
    if type(path) is not str:
        raise TypeError(f"path is a str, not {type(path).__name__}")
    method = method.upper()
    if method == "CONNECT":
        raise ValueError("CONNECT asks for a tunnel, which http.Client does not make")
    url = _url(base, path, params)
    content, content_type = _content(body, json)
    given = _checked(headers)
    fields = _complete(settings, method, url, given, content, content_type)
    return OutboundRequest(method, url, fields, content, path, tuple(given))


def check_method(method: str) -> None:
    """Raises ValueError for what is no token (RFC 9110, section 9.1)."""
    if type(method) is not str or _TOKEN.fullmatch(method) is None:
        raise ValueError(f"{method!r} is no HTTP method")


def check_field(name: str, value: str) -> None:
    """Raises ValueError, naming the header, for what no message can have (RFC 9110, section 5)."""
    if _TOKEN.fullmatch(name) is None:
        raise ValueError(f"{name!r} is no header name")
    if _VALUE.fullmatch(value) is None:
        raise ValueError(f"header {name}: {value!r} has a character that no header value can have")


def basic(userinfo: str) -> str:
    """What Authorization says of a URL's user and password (RFC 7617, section 2)."""
    user, _, password = userinfo.partition(":")
    return f"Basic {base64.b64encode(f'{user}:{password}'.encode()).decode()}"


def _url(base: Url | None, path: str, params: Params) -> Url:
    if params:
        query = urlencode(list(params.items() if isinstance(params, Mapping) else params), doseq=True)
        before, _, _ = path.partition("#")
        path = f"{before}{'&' if '?' in before else '?'}{query}" if query else before
    if base is not None:
        return join(base, path)
    if "://" not in path:
        raise ValueError(f"{path!r} is no whole URL, and the client has no base_url to join it onto")
    return parse_url(path)


def _content(body: Body, json: object) -> tuple[bytes, str | None]:
    if json is not None:
        if body is not None:
            raise ValueError("give body or json, not both")
        import json as json_format  # every script has this module, few send JSON

        return json_format.dumps(json, ensure_ascii=False, separators=(",", ":")).encode(), "application/json"
    if body is None:
        return b"", None
    if isinstance(body, str):
        return body.encode(), None
    if isinstance(body, bytes | bytearray | memoryview):
        return bytes(body), None
    raise TypeError(f"body is bytes, str or None, not {type(body).__name__}")


def _checked(headers: FieldsArgument | None) -> list[tuple[str, str]]:
    """The fields as given. Raises ValueError, naming the header at fault."""
    if headers is None:
        return []
    given = Headers(headers).pairs
    for name, value in given:
        check_field(name, value)
        if name.lower() in _FRAMING:
            raise ValueError(f"header {name} is not for a request to set: siphon frames the message")
    return given


def _complete(
    settings: ClientSettings,
    method: str,
    url: Url,
    given: Sequence[tuple[str, str]],
    content: bytes,
    content_type: str | None,
) -> tuple[tuple[str, str], ...]:
    names = {name.lower() for name, _ in given}
    fields: list[tuple[str, str]] = []
    if "host" not in names:
        fields.append(("Host", url.origin.authority))
    if "user-agent" not in names:
        fields.append(("User-Agent", _AGENT))
    if "accept" not in names:
        fields.append(("Accept", "*/*"))
    # Ranges count the bytes of the body as it is sent: of one that is encoded, a part says nothing.
    if settings.decode and not names & {"accept-encoding", "range"}:
        fields.append(("Accept-Encoding", "gzip, deflate"))
    if url.userinfo and "authorization" not in names:
        fields.append(("Authorization", basic(url.userinfo)))
    if content_type is not None and "content-type" not in names:
        fields.append(("Content-Type", content_type))
    _check_once(given, names)
    length = str(len(content))
    if "content-length" not in names:
        if content or method not in _WITHOUT_CONTENT:
            fields.append(("Content-Length", length))
    elif next(value for name, value in given if name.lower() == "content-length").strip() != length:
        raise ValueError(f"header Content-Length does not say {length}, which is the body's length")
    return (*fields, *given)


def _check_once(given: Sequence[tuple[str, str]], names: Any) -> None:
    for single in ("host", "content-length"):
        if single in names and sum(name.lower() == single for name, _ in given) > 1:
            raise ValueError(f"header {single.title()} is given twice")
