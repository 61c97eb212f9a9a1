"""The PROXY protocol's header, versions 1 and 2."""

import struct

import pytest

from siphon.errors import RequestRefused
from siphon.wire.proxy import ProxyHeader, read_header

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
TCP4 = bytes([192, 0, 2, 1, 198, 51, 100, 2]) + struct.pack("!HH", 56_324, 443)
TCP6 = bytes.fromhex("20010db8000000000000000000000001") + bytes(15) + b"\x01" + struct.pack("!HH", 1, 65_535)


def v2(command: int, family: int, addresses: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(addresses)) + addresses


@pytest.mark.parametrize(
    ("header", "peer"),
    [
        (b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n", "192.0.2.1:56324"),
        (b"PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n", "0.0.0.0:0"),
        (b"PROXY TCP6 2001:db8::1 ::1 56324 443\r\n", "[2001:db8::1]:56324"),
        (b"PROXY TCP6 2001:DB8:0:0:0:0:0:1 ::1 1 2\r\n", "[2001:db8::1]:1"),
        (b"PROXY UNKNOWN\r\n", None),
        (b"PROXY UNKNOWN ffff::1 ffff::2 65535 65535\r\n", None),
        (b"PROXY UNKNOWN" + b" " + b"x" * 91 + b"\r\n", None),
        (v2(0x21, 0x11, TCP4), "192.0.2.1:56324"),
        (v2(0x21, 0x11, TCP4 + b"\x04\x00\x01\x00"), "192.0.2.1:56324"),
        (v2(0x21, 0x21, TCP6), "[2001:db8::1]:1"),
        (v2(0x21, 0x31, bytes(216)), "unix:0"),
        (v2(0x21, 0x00, b""), None),
        (v2(0x21, 0x00, b"anything"), None),
        # Valid, but of no use here: as if unspecified.
        (v2(0x21, 0x12, TCP4), None),
        (v2(0x21, 0x22, TCP6), None),
        (v2(0x21, 0x32, bytes(216)), None),
        (v2(0x21, 0x12, b""), None),
        (v2(0x21, 0x10, TCP4), None),
        (v2(0x21, 0x01, b""), None),
        (v2(0x20, 0x00, b""), None),
        (v2(0x20, 0x11, TCP4), None),
        (v2(0x20, 0xFF, b"x"), None),
        (v2(0x21, 0x11, TCP4 + bytes(4_096 - 12)), "192.0.2.1:56324"),
    ],
)
def test_a_good_header_names_the_peer_and_every_beginning_of_it_needs_more(
    header: bytes, peer: str | None
) -> None:
    assert read_header(header) == ProxyHeader(peer, len(header))
    assert read_header(header + b"GET / HTTP/1.1\r\n") == ProxyHeader(peer, len(header))
    for size in range(len(header)):
        assert read_header(header[:size]) is None


@pytest.mark.parametrize(
    "header",
    [
        b"G",
        b"GET / HTTP/1.1\r\n\r\n",
        b"PROXX",
        b"PROXY\r\n",
        b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        b"PROXY TCP4 1.2.3.4\t1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3 1 2\r\n",
        b"PROXY TCP4 01.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 ::1 ::1 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 99999\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY UNKNOWN" + b" " + b"x" * 92 + b"\r\n",
        b"PROXY UNKNOWN " + b"x" * 93,
        b"\r\n\r\nGET",
        v2(0x11, 0x11, TCP4),
        v2(0x31, 0x11, TCP4),
        v2(0x22, 0x11, TCP4),
        v2(0x21, 0x11, TCP4[:-1]),
        v2(0x21, 0x21, TCP6[:-1]),
        v2(0x21, 0x31, bytes(215)),
        v2(0x21, 0x13, TCP4),
        v2(0x21, 0x03, b""),
        v2(0x21, 0x41, TCP4),
        v2(0x21, 0xF1, TCP4),
        v2(0x21, 0x11, TCP4 + bytes(4_097 - 12)),
    ],
)
def test_a_bad_header_is_400(header: bytes) -> None:
    with pytest.raises(RequestRefused) as caught:
        read_header(header)
    assert caught.value.status == 400


def test_a_header_that_is_too_long_is_refused_before_it_has_come() -> None:
    with pytest.raises(RequestRefused, match="4096"):
        read_header(SIGNATURE + struct.pack("!BBH", 0x21, 0x11, 4_097))
