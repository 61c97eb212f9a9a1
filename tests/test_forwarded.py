"""Who the client is behind proxies, trusted and not, and what it asked for."""

from __future__ import annotations

import time
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.forwarded import Asked, as_forwarded, is_trusted_peer

TRUSTED = tuple(ip_network(text) for text in ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8"))


def asked(peer: str = "10.0.0.1:5", **fields: str) -> Asked:
    """What a plain request for the host ``own`` comes to; ``fields`` have ``_`` for ``-``."""
    given = {name.replace("_", "-"): value for name, value in fields.items()}
    return as_forwarded(Asked(peer, "http", "own"), given, TRUSTED)


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
    assert asked(peer, **({} if field is None else {"x_forwarded_for": field})).client == client


@pytest.mark.parametrize(
    "entry", ["fe80::1%eth0", "fe80::1%a b", "999.1.1.1", "1.2.3", "0x7f.1", "::1::", "a" * 5_000]
)
def test_an_entry_that_is_no_plain_address_is_not_passed_on(entry: str) -> None:
    assert asked(x_forwarded_for=entry).client == "10.0.0.1:5"


def test_with_nobody_trusted_the_fields_change_nothing() -> None:
    own = Asked("10.0.0.1:5", "http", "own")
    fields = {"x-forwarded-for": "1.1.1.1", "x-forwarded-proto": "https", "x-forwarded-host": "h"}
    assert as_forwarded(own, fields, ()) == own
    assert as_forwarded(own, {"forwarded": "for=1.1.1.1;proto=https;host=h"}, ()) == own


@pytest.mark.parametrize("peer", ["203.0.113.1:5", "[2001:db8::1]:5", "unix:0"])
def test_an_untrusted_peer_influences_nothing(peer: str) -> None:
    own = Asked(peer, "http", "own")
    for fields in (
        {"x-forwarded-for": "10.0.0.1", "x-forwarded-proto": "https", "x-forwarded-host": "evil"},
        {"forwarded": "for=10.0.0.1;proto=https;host=evil"},
    ):
        assert as_forwarded(own, fields, TRUSTED) == own


# Scheme and host ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        (" https ", "https"),
        ("http", "http"),
        ("https, http", "http"),  # the hop next to us wrote the last one
        ("http, https", "https"),
        ("ftp", "http"),
        ("", "http"),
        ("https,", "http"),
        ("https;", "http"),
    ],
)
def test_the_scheme_is_the_last_hops(value: str, scheme: str) -> None:
    assert asked(x_forwarded_proto=value).scheme == scheme


@pytest.mark.parametrize(
    ("value", "host"),
    [
        ("example.com", "example.com"),
        ("example.com:8443", "example.com:8443"),
        ("[2001:db8::1]:80", "[2001:db8::1]:80"),
        ("evil, example.com", "example.com"),
        ("", "own"),
        ("evil,", "own"),
        ("user@example.com", "own"),
        ("example.com/path", "own"),
        ("a b", "own"),
        ("a\x85b", "own"),
        ('"a"', "own"),
        ("[::1", "own"),
    ],
)
def test_the_host_is_the_last_hops_and_a_host_at_all(value: str, host: str) -> None:
    assert asked(x_forwarded_host=value).host == host


# Forwarded ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ("for=198.51.100.1", ("198.51.100.1:0", "http", "own")),
        ("For=198.51.100.1;Proto=https;Host=h", ("198.51.100.1:0", "https", "h")),
        ("for=198.51.100.1; proto=https ;by=10.0.0.1", ("198.51.100.1:0", "https", "own")),
        (";for=198.51.100.1;;", ("198.51.100.1:0", "http", "own")),
        ('for="[2001:db8::7]:4711"', ("[2001:db8::7]:0", "http", "own")),
        ('for="198.51.100.1:4711"', ("198.51.100.1:0", "http", "own")),
        ('for="198.51.100.\\1"', ("198.51.100.1:0", "http", "own")),
        ('host="h:81";for=198.51.100.1', ("198.51.100.1:0", "http", "h:81")),
        # Not in quotes, as many write it.
        ("for=[2001:db8::7]:4711;host=h:81", ("[2001:db8::7]:0", "http", "h:81")),
        ("proto=https;host=h", ("10.0.0.1:5", "https", "h")),
        ("", ("10.0.0.1:5", "http", "own")),
        (" , ,", ("10.0.0.1:5", "http", "own")),
        # Several hops: what the outermost trusted one saw.
        (
            "for=198.51.100.1;proto=https;host=h, for=10.0.0.9;proto=http;host=inner",
            ("198.51.100.1:0", "https", "h"),
        ),
        ("for=1.1.1.1;proto=https, for=198.51.100.1;proto=http", ("198.51.100.1:0", "http", "own")),
        ("for=1.1.1.1,, for=10.0.0.9 ,", ("1.1.1.1:0", "http", "own")),
        ("for=10.0.0.8, for=10.0.0.9", ("10.0.0.8:0", "http", "own")),
        # Hidden and unknown names end the reading; their element was still written by a trusted hop.
        ("for=1.1.1.1, for=unknown;proto=https", ("10.0.0.1:5", "https", "own")),
        ("for=1.1.1.1, for=_hidden, for=10.0.0.9", ("10.0.0.9:0", "http", "own")),
        ("for=1.1.1.1, proto=https", ("10.0.0.1:5", "https", "own")),
        # What a client has sent, left of the truth, may be anything.
        ('for="1.1.1.1, for=198.51.100.1', ("198.51.100.1:0", "http", "own")),
        ('for="1.1.1.1, for="[2001:db8::7]";proto=https', ("[2001:db8::7]:0", "https", "own")),
        ('host="x, for=10.0.0.1, for=198.51.100.1', ("198.51.100.1:0", "http", "own")),
        ("for=1.1.1.1;for=2.2.2.2, for=198.51.100.1", ("198.51.100.1:0", "http", "own")),
        ('for=198.51.100.1;host="a, for=1.1.1.1"', ("198.51.100.1:0", "http", "own")),
        ('for=198.51.100.1;host="a\\", for=\\"1.1.1.1"', ("198.51.100.1:0", "http", "own")),
        # Malformed at the right: nobody is named.
        ("for=1.1.1.1;for=2.2.2.2", ("10.0.0.1:5", "http", "own")),
        ("for = 1.1.1.1", ("10.0.0.1:5", "http", "own")),
        ('for="1.1.1.1', ("10.0.0.1:5", "http", "own")),
        ("1.1.1.1", ("10.0.0.1:5", "http", "own")),
        ("for=1.1.1.1, garbage", ("10.0.0.1:5", "http", "own")),
        ('for=1.1.1.1;x="' + "a" * 2_000 + '"', ("10.0.0.1:5", "http", "own")),
        ("for=1.1.1.1;proto=ftp;host=u@h", ("1.1.1.1:0", "http", "own")),
    ],
)
def test_forwarded_is_read_from_the_right(field: str, expected: tuple[str, str, str]) -> None:
    assert asked(forwarded=field) == expected


@pytest.mark.parametrize(
    "fields",
    [
        {"x_forwarded_for": "198.51.100.1"},
        {"x_forwarded_proto": "http"},
        {"x_forwarded_host": "own"},
        {"x_forwarded_for": ""},
    ],
)
def test_beside_x_forwarded_fields_forwarded_is_not_believed(fields: dict[str, str]) -> None:
    forged = asked(**fields, forwarded="for=1.1.1.1;proto=https;host=evil")
    assert forged == asked(**fields)
    assert "1.1.1.1:0" not in forged


@given(st.text(alphabet='for=;,"\\ \t1.:[]ab_\xe9', max_size=60))
def test_whatever_a_client_has_sent_the_hop_of_the_trusted_proxy_counts(junk: str) -> None:
    written = 'for="198.51.100.1:80";proto=https;host=h'
    assert asked(forwarded=f"{junk}, {written}") == ("198.51.100.1:0", "https", "h")
    assert asked(x_forwarded_for=f"{junk}, 198.51.100.1").client == "198.51.100.1:0"


@pytest.mark.parametrize("unit", [",", ",a=", ',"', ",for=10.0.0.1", ',a=",a=b', "a=b;", '\\"'])
def test_a_long_field_takes_no_more_than_linear_time(unit: str) -> None:
    def best_time(size: int) -> float:
        field = unit * (size // len(unit)) + '"'
        times = []
        for _ in range(3):
            begin = time.perf_counter()
            asked(forwarded=field)
            times.append(time.perf_counter() - begin)
        return min(times)

    # Sixteen times the size takes 16 times as long if linear and 256 times if quadratic.
    assert best_time(16_384 * 16) < 100 * max(best_time(16_384), 1e-4)


def test_a_peer_is_trusted_by_its_address() -> None:
    assert is_trusted_peer("10.1.2.3:80", TRUSTED)
    assert is_trusted_peer("[fd00::1]:80", TRUSTED)
    assert not is_trusted_peer("11.1.2.3:80", TRUSTED)
    assert not is_trusted_peer("unix:0", TRUSTED)
    assert not is_trusted_peer("10.1.2.3:80", ())
