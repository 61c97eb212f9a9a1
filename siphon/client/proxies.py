"""Proxies that the environment names, as curl reads it."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING

from siphon.url import parse_url

if TYPE_CHECKING:
    from collections.abc import Mapping

    from siphon.url import Origin, Url


def proxy_for(origin: Origin, environ: Mapping[str, str]) -> Url | None:
    """The proxy for calls to ``origin``, or None.

    ``http_proxy`` (in lower case alone: a CGI program's ``HTTP_PROXY`` is a header of its client),
    ``https_proxy`` or ``HTTPS_PROXY``, else ``all_proxy`` or ``ALL_PROXY``; unless ``no_proxy`` or
    ``NO_PROXY`` names the host. Raises ValueError for a proxy that is no http URL.
    """
    names = ["http_proxy"] if origin.scheme == "http" else ["https_proxy", "HTTPS_PROXY"]
    name = next((name for name in [*names, "all_proxy", "ALL_PROXY"] if environ.get(name)), None)
    if name is None or _is_excepted(origin.host, environ.get("no_proxy") or environ.get("NO_PROXY") or ""):
        return None
    text = environ[name]
    try:
        proxy = parse_url(text if "://" in text else f"http://{text}")
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if proxy.origin.scheme != "http":
        raise ValueError(f"{name}: {proxy} is no http URL, and no other proxies are supported")
    return proxy


def _is_excepted(host: str, exceptions: str) -> bool:
    if exceptions.strip() == "*":
        return True
    return any(_covers(entry.strip().lower(), host) for entry in exceptions.replace(" ", ",").split(","))


def _covers(entry: str, host: str) -> bool:
    """Whether an entry of NO_PROXY is ``host``, a domain above it or a network that holds it."""
    if not entry:
        return False
    try:
        address = ip_address(host)
    except ValueError:
        entry = entry.strip(".")
        return host.rstrip(".") == entry or host.rstrip(".").endswith(f".{entry}")
    try:
        network = ip_network(entry.strip("[]"), strict=False)
    except ValueError:
        return False
    return address.version == network.version and address in network
