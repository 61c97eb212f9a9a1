"""Who the client is when a proxy that is trusted stands in between."""

from __future__ import annotations

from ipaddress import ip_address
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

    from siphon.config.settings import Network


def _address(text: str) -> IPv4Address | IPv6Address | None:
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


def client_address(peer: str, forwarded_for: str | None, trusted: tuple[Network, ...]) -> str:
    """The client as ``ip:port``: ``peer`` itself unless it is trusted and names somebody.

    ``peer``: the socket's other end, ``ip:port``. ``forwarded_for``: the X-Forwarded-For field,
    read from the right; an entry that is no address ends the reading at the hop before it.
    """
    address = _address(peer)
    if forwarded_for is None or address is None or not _is_trusted(address, trusted):
        return peer
    named = None
    for entry in reversed(forwarded_for.split(",")):
        hop = _address(entry)
        if hop is None:
            break
        named = hop
        if not _is_trusted(hop, trusted):
            break
    if named is None:
        return peer
    return f"[{named}]:0" if named.version == 6 else f"{named}:0"


def _is_trusted(address: IPv4Address | IPv6Address, trusted: tuple[Network, ...]) -> bool:
    return any(address.version == network.version and address in network for network in trusted)
