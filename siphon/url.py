"""The URLs that a client calls: read, joined and encoded as browsers do (RFC 3986, sections 5 and 6)."""

import re
from dataclasses import dataclass
from ipaddress import AddressValueError, IPv6Address
from typing import Final, NamedTuple
from urllib.parse import quote, unquote, urlsplit

_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PATH_SAFE: Final = "/:@!$&'()*+,;=~%"
_QUERY_SAFE: Final = _PATH_SAFE + "?"
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*://")
_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.\-]*[A-Za-z0-9_.])?")
# What needs neither encoding nor the removal of dot segments, as nearly every path does.
_PLAIN_PATH = re.compile(r"(?:/(?!\.)[A-Za-z0-9\-._~!$&'()*+,;=:@]*)+(?:\?[A-Za-z0-9\-._~!$&'()*+,;=:@/?]*)?")


class Origin(NamedTuple):
    """Where connections lead (RFC 9110, section 4.3.1). ``host`` is in lower case, IPv6 without brackets."""

    scheme: str
    host: str
    port: int

    @property
    def authority(self) -> str:
        """As the Host field has it: without the port where it is the scheme's own."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == _DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}"


@dataclass(frozen=True, slots=True)
class Url:
    """An http or https URL, encoded. ``str()`` leaves the user and the password out."""

    origin: Origin
    path: str
    """Begins with a slash, except that a base without a path has none."""
    query: str | None
    userinfo: str | None
    """``user:password``, decoded."""

    @property
    def target(self) -> str:
        """The request target in origin-form (RFC 9112, section 3.2.1)."""
        path = self.path or "/"
        return path if self.query is None else f"{path}?{self.query}"

    def __str__(self) -> str:
        return f"{self.origin}{self.target}"


def parse_url(text: str) -> Url:
    """Reads an absolute http or https URL; a fragment is left out. Raises ValueError with what is wrong."""
    _refuse_controls(text)
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ValueError(f"{_shown(text)} is no URL: {error}") from None
    if parts.scheme not in _DEFAULT_PORTS:
        raise ValueError(f"{_shown(text)} is no http or https URL")
    if port == 0:
        raise ValueError(f"{_shown(text)} has port 0, which nobody can listen on")
    origin = Origin(parts.scheme, _host(parts.hostname or "", text), port or _DEFAULT_PORTS[parts.scheme])
    userinfo, at, _ = parts.netloc.rpartition("@")
    query = _encoded(parts.query, _QUERY_SAFE) if parts.query else None
    path = _encoded(remove_dot_segments(parts.path), _PATH_SAFE)
    return Url(origin, path, query, unquote(userinfo) if at else None)


def join(base: Url, reference: str) -> Url:
    """``reference``, a path with or without a query, below ``base``.

    ``https://a/v1`` and ``/things`` give ``https://a/v1/things``, with or without the slashes between
    them. The base's query comes first. A reference names no other host: ``//b/c`` is a path. Raises
    ValueError for an absolute URL, for control characters and for dot segments that lead above the base.
    """
    if _PLAIN_PATH.fullmatch(reference) is not None:
        path, mark, query = reference.partition("?")
        return _joined(base, base.path.rstrip("/") + path, query if mark else None)
    _refuse_controls(reference)
    if _ABSOLUTE.match(reference):
        raise ValueError(
            f"{_shown(reference)} is a whole URL, and the client has a base_url: give a path below {base}, "
            "or use a client without base_url"
        )
    path, mark, query = reference.partition("#")[0].partition("?")
    top = base.path.rstrip("/")
    if path:
        path = f"{top}/{path.removeprefix('/')}"
        shortened = remove_dot_segments(path)
        if not f"{shortened}/".startswith(f"{top}/"):
            raise ValueError(f"{_shown(reference)} leads above {base}, which the client is bound to")
        path = _encoded(shortened, _PATH_SAFE)
    return _joined(base, path or base.path, _encoded(query, _QUERY_SAFE) if mark else None)


def resolve(base: Url, reference: str) -> Url:
    """Where a Location of a response for ``base`` leads (RFC 3986, section 5.3). Raises ValueError."""
    if _ABSOLUTE.match(reference):
        return parse_url(reference)
    if reference.startswith("//"):
        return parse_url(f"{base.origin.scheme}:{reference}")
    _refuse_controls(reference)
    path, mark, query = reference.partition("#")[0].partition("?")
    if not path:
        kept = _encoded(query, _QUERY_SAFE) if mark else base.query
        return Url(base.origin, base.path, kept, None)
    if not path.startswith("/"):
        path = f"{base.path.rpartition('/')[0]}/{path}"
    path = _encoded(remove_dot_segments(path), _PATH_SAFE)
    return Url(base.origin, path, _encoded(query, _QUERY_SAFE) if mark else None, None)


def remove_dot_segments(path: str) -> str:
    """``path`` without ``.`` and ``..`` (RFC 3986, section 5.2.4); ``%2e`` is a dot, as in browsers."""
    if "/." not in path and "/%2" not in path:
        return path
    kept: list[str] = []
    segments = path.split("/")
    for number, segment in enumerate(segments):
        dots = segment.replace("%2e", ".").replace("%2E", ".")
        if dots == ".." and len(kept) > 1:
            kept.pop()
        elif dots not in (".", ".."):
            kept.append(segment)
        if dots in (".", "..") and number == len(segments) - 1:
            kept.append("")
    return "/".join(kept)


def _joined(base: Url, path: str, query: str | None) -> Url:
    if base.query is not None:
        query = base.query if query is None else f"{base.query}&{query}"
    return Url(base.origin, path, query, base.userinfo)


def _host(host: str, text: str) -> str:
    if not host:
        raise ValueError(f"{_shown(text)} names no host")
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except AddressValueError:
            raise ValueError(f"{_shown(text)} has no valid IPv6 address in its brackets") from None
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            raise ValueError(f"{_shown(text)} has a host that no domain name can have") from None
    if _HOST.fullmatch(host) is None:
        raise ValueError(f"{_shown(text)} has a host that no domain name can have")
    return host


def _encoded(text: str, safe: str) -> str:
    return quote(_STRAY_PERCENT.sub("%25", text), safe=safe)


def _refuse_controls(text: str) -> None:
    found = _CONTROLS.search(text)
    if found is not None:
        raise ValueError(f"{_shown(text)} has the control character U+{ord(found[0]):04X}")


def _shown(text: str) -> str:
    """``text`` for a message: a password in it is not shown."""
    return repr(re.sub(r"//[^/?#]*@", "//***@", text))
