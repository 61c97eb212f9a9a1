"""The PROXY protocol's header, versions 1 and 2: who the client is, as told by the balancer in front."""

import re
import struct
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, NamedTuple

from siphon.errors import RequestRefused

_V1_START: Final = b"PROXY "
_V1_MAX_BYTES: Final = 107  # the longest line that version 1 allows, CR LF included
_V1_ADDRESSES: Final = rb"(TCP[46]) ([0-9a-fA-F.:]++) ([0-9a-fA-F.:]++) ([0-9]{1,5}+) ([0-9]{1,5}+)"
_match_v1: Final = re.compile(rb"PROXY (?:UNKNOWN(?: [^\r\n]*+)?+|" + _V1_ADDRESSES + rb")\r\n").fullmatch

_V2_SIGNATURE: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_V2_START: Final = struct.Struct("!12sBBH")  # signature, version and command, family and transport, length
_V2_MAX_LENGTH: Final = 4_096
_V2_LOCAL: Final = 0x20
_V2_PROXY: Final = 0x21

# Family in the upper four bits, transport in the lower; the last that there are.
_AF_UNIX: Final = 3
_DATAGRAM: Final = 2
_V2_TCP4: Final = 0x11
_V2_TCP6: Final = 0x21
_V2_UNIX: Final = 0x31

_TCP4: Final = struct.Struct("!4s4sHH")
_TCP6: Final = struct.Struct("!16s16sHH")
_V2_ADDRESS_BYTES: Final = {_V2_TCP4: _TCP4.size, _V2_TCP6: _TCP6.size, _V2_UNIX: 216}


class ProxyHeader(NamedTuple):
    """What a PROXY header says."""

    peer: str | None
    """The client as ``ip:port``, ``[v6]:port`` or ``unix:0``; None: the connection's own address holds."""
    end: int
    """Where in the buffer the client's own bytes begin."""


def read_header(buffer: bytes) -> ProxyHeader | None:
    """Read the PROXY header that a connection must begin with; None while it is incomplete.

    Raises RequestRefused(400) as soon as the bytes cannot be a header: a listener that expects one must
    never take a connection without it, or any client could name any address.
    """
    if buffer.startswith(_V2_SIGNATURE):
        return _read_v2(buffer)
    if buffer.startswith(_V1_START):
        return _read_v1(buffer)
    if _V2_SIGNATURE.startswith(buffer) or _V1_START.startswith(buffer):
        return None
    raise RequestRefused(400, "the connection does not begin with a PROXY header")


def _read_v1(buffer: bytes) -> ProxyHeader | None:
    newline = buffer.find(b"\n", 0, _V1_MAX_BYTES)
    if newline < 0:
        if len(buffer) >= _V1_MAX_BYTES:
            raise RequestRefused(400, f"the PROXY header is longer than {_V1_MAX_BYTES} bytes")
        return None
    end = newline + 1
    match = _match_v1(buffer, 0, end)
    if match is None:
        raise RequestRefused(400, "the PROXY header is malformed")
    family, source, destination, source_port, destination_port = match.groups()
    if family is None:
        return ProxyHeader(None, end)
    peer = _v1_endpoint(family, source, source_port)
    _v1_endpoint(family, destination, destination_port)
    return ProxyHeader(peer, end)


def _v1_endpoint(family: bytes, address: bytes, port: bytes) -> str:
    text = address.decode("ascii")
    try:
        host = str(IPv4Address(text)) if family == b"TCP4" else f"[{IPv6Address(text)}]"
    except AddressValueError as error:
        raise RequestRefused(400, f"the PROXY header has no valid address: {text}") from error
    if int(port) > 65_535 or (port != b"0" and port.startswith(b"0")):
        raise RequestRefused(400, f"the PROXY header has no valid port: {port.decode('ascii')}")
    return f"{host}:{int(port)}"


def _read_v2(buffer: bytes) -> ProxyHeader | None:
    if len(buffer) < _V2_START.size:
        return None
    _, command, family, length = _V2_START.unpack_from(buffer)
    if command not in (_V2_LOCAL, _V2_PROXY):
        raise RequestRefused(400, f"the PROXY header has version and command 0x{command:02x}")
    if length > _V2_MAX_LENGTH:
        raise RequestRefused(400, f"the PROXY header is longer than {_V2_MAX_LENGTH} bytes")
    end = _V2_START.size + length
    if len(buffer) < end:
        return None
    peer = None if command == _V2_LOCAL else _v2_peer(family, buffer[_V2_START.size : end])
    return ProxyHeader(peer, end)


def _v2_peer(family: int, addresses: bytes) -> str | None:
    """The source of a proxied connection; what follows the addresses (TLVs) is not used.

    None, so that the connection's own address holds, for a family or a transport that is unspecified and
    for datagrams: a receiver may treat what it has no use for as unspecified, and skips its addresses.
    """
    if family >> 4 > _AF_UNIX or family & 0x0F > _DATAGRAM:
        raise RequestRefused(400, f"the PROXY header has family and transport 0x{family:02x}")
    if family not in _V2_ADDRESS_BYTES:
        return None
    if len(addresses) < _V2_ADDRESS_BYTES[family]:
        raise RequestRefused(400, "the PROXY header is shorter than its addresses")
    if family == _V2_TCP4:
        source, _, port, _ = _TCP4.unpack_from(addresses)
        return f"{IPv4Address(source)}:{port}"
    if family == _V2_TCP6:
        source, _, port, _ = _TCP6.unpack_from(addresses)
        return f"[{IPv6Address(source)}]:{port}"
    return "unix:0"
