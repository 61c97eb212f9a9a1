"""Who the client is, and what it asked, when a proxy that is trusted stands in between.

Proxies tell it in X-Forwarded-For, -Proto and -Host, or in Forwarded (RFC 7239). A request that has any of
the former is read by those alone: nearly every proxy writes them and passes on a Forwarded that it does not
know, so the one that came with them may be the client's own invention.
"""

from __future__ import annotations

import re
from ipaddress import ip_address
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address, IPv6Address

    from siphon.config.settings import Network

_SCHEMES: Final = frozenset({"http", "https"})
_X_FIELDS: Final = frozenset({"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"})
_match_host: Final = re.compile(
    r"(?:[A-Za-z0-9\-._~!$&'()*+;=%]++|\[[0-9A-Fa-f:.]++\])(?::[0-9]{0,5}+)?", re.ASCII
).fullmatch

# Forwarded, RFC 7239 section 4; an address with colons or brackets is taken without the quotes as well.
_TOKEN: Final = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_PAIR: Final = rf'{_TOKEN}=(?:"(?:[^"\\]|\\.)*+"|[^",;\s\\]*+)'
_match_element: Final = re.compile(
    rf"[ \t]*+(?:{_PAIR})?+(?:[ \t]*+;[ \t]*+(?:{_PAIR})?+)*+[ \t]*+", re.ASCII
).fullmatch
_find_pairs: Final = re.compile(rf'({_TOKEN})=(?:"((?:[^"\\]|\\.)*+)"|([^",;\s\\]*+))', re.ASCII).findall
_unescape: Final = re.compile(r"\\(.)").sub
_ELEMENT_MAX: Final = 1_024  # characters of one element; longer ones name nobody


class Asked(NamedTuple):
    """What the client asked for, and who it is."""

    client: str
    """``ip:port``; ``unix:0`` on a unix-domain socket. A client that a proxy names has port 0."""
    scheme: str
    """``http`` or ``https``."""
    host: str
    """As in a Host field, with a port where it was given; empty where an HTTP/1.0 client named none."""


def as_forwarded(asked: Asked, fields: Mapping[str, str], trusted: tuple[Network, ...]) -> Asked:
    """``asked`` as the connection and the Host field have it, corrected by what trusted proxies say.

    ``fields``: the request's, with lower-case names and repeated ones joined. Where the connection's
    other end is not ``trusted`` they change nothing.
    """
    peer = _address(asked.client)
    if peer is None or not _is_trusted(peer, trusted):
        return asked
    if not _X_FIELDS.isdisjoint(fields):
        client = _named_client(fields.get("x-forwarded-for", "").split(","), trusted)
        # Of several values the last: it was written by the hop next to us.
        scheme = fields.get("x-forwarded-proto", "").rpartition(",")[2]
        host = fields.get("x-forwarded-host", "").rpartition(",")[2]
    elif "forwarded" in fields:
        client, scheme, host = _from_forwarded(fields["forwarded"], trusted)
    else:
        return asked
    scheme = scheme.strip().lower()
    host = host.strip()
    return Asked(
        client or asked.client,
        scheme if scheme in _SCHEMES else asked.scheme,
        host if _match_host(host) else asked.host,
    )


def _named_client(entries: list[str], trusted: tuple[Network, ...]) -> str | None:
    """The right-most address that is not trusted; an entry that is no address ends the reading before it."""
    named = None
    for entry in reversed(entries):
        hop = _address(entry)
        if hop is None:
            break
        named = hop
        if not _is_trusted(hop, trusted):
            break
    return _written(named)


def _from_forwarded(field: str, trusted: tuple[Network, ...]) -> tuple[str | None, str, str]:
    """The client, the scheme and the host; what is not told is None or empty.

    An element is believed where it was written by a trusted hop: the right-most one, and those to the
    left of trusted addresses. All three come from the left-most element that is.
    """
    named = None
    scheme = host = ""
    for element in _elements_from_the_right(field):
        scheme, host = element.get("proto", ""), element.get("host", "")
        hop = _address(element.get("for", ""))
        if hop is None:
            break
        named = hop
        if not _is_trusted(hop, trusted):
            break
    return _written(named), scheme, host


def _elements_from_the_right(field: str) -> Iterator[dict[str, str]]:
    """The elements, the last one first, up to the first that is malformed.

    A comma may stand in quotes, and what is left of the last element may be anything that a client has
    sent, a quote that never ends included: so the last element is the shortest well-formed tail behind
    a comma.
    """
    end = comma = len(field)
    while comma >= 0:
        comma = field.rfind(",", max(0, end - _ELEMENT_MAX), comma)
        if comma < 0 and end > _ELEMENT_MAX:
            return
        text = field[comma + 1 : end]
        if _match_element(text) is None:
            continue
        end = comma
        pairs = _find_pairs(text)
        element = {name.lower(): _unescape(r"\1", quoted) or bare for name, quoted, bare in pairs}
        if len(element) < len(pairs):
            return  # a parameter may come once
        if element:
            yield element


def _written(address: IPv4Address | IPv6Address | None) -> str | None:
    if address is None:
        return None
    return f"[{address}]:0" if address.version == 6 else f"{address}:0"


def _address(text: str) -> IPv4Address | IPv6Address | None:
    """The address of ``ip``, ``ip:port``, ``v6`` or ``[v6]:port``; None for any other text."""
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    if "%" in text:
        return None  # a scope means nothing here, and may be any text
    try:
        address = ip_address(text)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def is_trusted_peer(peer: str, trusted: tuple[Network, ...]) -> bool:
    """Whether ``peer``, ``ip:port``, is among the trusted; one on a unix-domain socket is not."""
    address = _address(peer)
    return address is not None and _is_trusted(address, trusted)


def _is_trusted(address: IPv4Address | IPv6Address, trusted: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)
