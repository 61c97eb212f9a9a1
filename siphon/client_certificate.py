"""What a script sees of the certificate that a client has shown, under mutual TLS."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

# The short names of RFC 4514 section 3, by those that the ssl module uses.
_SHORT: Final = {
    "commonName": "CN",
    "localityName": "L",
    "stateOrProvinceName": "ST",
    "organizationName": "O",
    "organizationalUnitName": "OU",
    "countryName": "C",
    "streetAddress": "STREET",
    "domainComponent": "DC",
    "userId": "UID",
}
# The kinds of alternative names as one writes them in a request for a certificate.
_KINDS: Final = {
    "IP Address": "IP",
    "Registered ID": "RID",
    "DirName": "dirName",
    "othername": "otherName",
}
_ESCAPES: Final = {ord(character): f"\\{character}" for character in '\\",+;<>'} | {0: "\\00"}


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client's certificate, which one of the CAs of ``tls.client_ca`` vouches for. Immutable."""

    subject: str
    """The subject as RFC 4514 writes it, the most specific first: ``CN=alice,O=Example``; may be empty."""
    sans: tuple[str, ...]
    """The subject alternative names with their kinds: ``DNS:a.example``, ``IP:::1``, ``URI:spiffe://a/b``."""
    fingerprint: str
    """The SHA-256 of the certificate, in lowercase hexadecimal digits."""


def read_certificate(decoded: Mapping[str, Any], der: bytes) -> ClientCertificate:
    """What ``ssl`` gives as ``getpeercert()`` and ``getpeercert(True)``, as scripts see it."""
    from hashlib import sha256  # every script has this module, few have clients with certificates

    sans = [_alternative_name(kind, value) for kind, value in decoded.get("subjectAltName", ())]
    return ClientCertificate(_name(decoded.get("subject", ())), tuple(sans), sha256(der).hexdigest())


def _name(parts: tuple[tuple[tuple[str, str], ...], ...]) -> str:
    return ",".join(reversed([_relative_name(part) for part in parts]))


def _relative_name(attributes: tuple[tuple[str, str], ...]) -> str:
    return "+".join(f"{_SHORT.get(kind, kind)}={_escaped(value)}" for kind, value in attributes)


def _escaped(value: str) -> str:
    """A value as RFC 4514 section 2.4 writes it."""
    escaped = value.translate(_ESCAPES)
    if value.startswith((" ", "#")):
        escaped = f"\\{escaped}"
    if value.endswith(" ") and len(value) > 1:
        escaped = f"{escaped[:-1]}\\ "
    return escaped


def _alternative_name(kind: str, value: Any) -> str:
    if kind == "IP Address":
        value = ip_address(value.strip())
    elif kind == "DirName":
        value = _name(value)
    return f"{_KINDS.get(kind, kind)}:{value}"
