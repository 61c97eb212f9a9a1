"""Who the client is behind proxies, trusted and not."""

from __future__ import annotations

from ipaddress import ip_network

import pytest

from siphon.forwarded import client_address

TRUSTED = tuple(ip_network(text) for text in ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8"))


@pytest.mark.parametrize(
    ("peer", "field", "client"),
    [
        # Nobody to believe.
        ("203.0.113.1:5", "198.51.100.1", "203.0.113.1:5"),
        ("[2001:db8::1]:5", "198.51.100.1", "[2001:db8::1]:5"),
        ("unix:0", "198.51.100.1", "unix:0"),
        ("10.0.0.1:5", None, "10.0.0.1:5"),
        ("10.0.0.1:5", "", "10.0.0.1:5"),
        ("10.0.0.1:5", ",", "10.0.0.1:5"),
        ("10.0.0.1:5", "unknown", "10.0.0.1:5"),
        ("10.0.0.1:5", "198.51.100.1, unknown", "10.0.0.1:5"),
        # One proxy.
        ("10.0.0.1:5", "198.51.100.1", "198.51.100.1:0"),
        ("127.0.0.1:5", " 198.51.100.1 ", "198.51.100.1:0"),
        ("[fd00::1]:5", "198.51.100.1", "198.51.100.1:0"),
        ("[::ffff:10.0.0.1]:5", "198.51.100.1", "198.51.100.1:0"),
        ("10.0.0.1:5", "2001:db8::7", "[2001:db8::7]:0"),
        ("10.0.0.1:5", "[2001:db8::7]", "[2001:db8::7]:0"),
        ("10.0.0.1:5", "[2001:db8::7]:4711", "[2001:db8::7]:0"),
        ("10.0.0.1:5", "198.51.100.1:4711", "198.51.100.1:0"),
        ("10.0.0.1:5", "::ffff:198.51.100.1", "198.51.100.1:0"),
        # What the client itself claims, left of the truth, counts for nothing.
        ("10.0.0.1:5", "1.1.1.1, 198.51.100.1", "198.51.100.1:0"),
        ("10.0.0.1:5", "127.0.0.1, 198.51.100.1", "198.51.100.1:0"),
        ("10.0.0.1:5", "garbage, 198.51.100.1", "198.51.100.1:0"),
        # Several proxies.
        ("10.0.0.1:5", "198.51.100.1, 10.0.0.9", "198.51.100.1:0"),
        ("10.0.0.1:5", "1.1.1.1, 198.51.100.1,10.0.0.9,fd00::2", "198.51.100.1:0"),
        ("10.0.0.1:5", "10.0.0.7, 10.0.0.8", "10.0.0.7:0"),
        ("10.0.0.1:5", "unknown, 10.0.0.8", "10.0.0.8:0"),
        ("10.0.0.1:5", "1.1.1.1, , 10.0.0.8", "10.0.0.8:0"),
    ],
)
def test_the_right_most_untrusted_entry_is_the_client(peer: str, field: str | None, client: str) -> None:
    assert client_address(peer, field, TRUSTED) == client


def test_with_nobody_trusted_the_peer_is_the_client() -> None:
    assert client_address("10.0.0.1:5", "198.51.100.1", ()) == "10.0.0.1:5"


@pytest.mark.parametrize(
    "entry", ["fe80::1%eth0", "fe80::1%a b", "999.1.1.1", "1.2.3", "0x7f.1", "::1::", "a" * 5_000]
)
def test_an_entry_that_is_no_plain_address_is_not_passed_on(entry: str) -> None:
    assert client_address("10.0.0.1:5", entry, TRUSTED) == "10.0.0.1:5"
