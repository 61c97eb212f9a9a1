"""The shared patterns, against what the standard library and the RFCs say."""

import re
from ipaddress import AddressValueError, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.wire.grammar import HOST, IPV6_ADDRESS, PORT, TCHAR, any_case
from tests.wire.hosts import INVALID_HOSTS, VALID_HOSTS

ipv6_like = st.one_of(
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=6).map(lambda address: address.exploded),
    st.text("0123456789abcdefF:.", max_size=45),
    st.lists(st.sampled_from(["", "0", "1", "ffff", "12345", "1.2.3.4", "1.2.3.256"]), max_size=10).map(
        ":".join
    ),
)


@given(ipv6_like)
def test_an_ipv6_address_is_what_the_standard_library_takes(text: str) -> None:
    try:
        IPv6Address(text)
        valid = True
    except AddressValueError:
        valid = False
    assert (re.fullmatch(IPV6_ADDRESS, text.encode()) is not None) is valid


def test_a_port_is_a_number_up_to_65535_in_at_most_five_digits() -> None:
    ports = [b"%d" % number for number in range(100_000)]
    assert [re.fullmatch(PORT, port) is not None for port in ports] == [True] * 65_536 + [False] * 34_464
    assert re.fullmatch(PORT, b"00080")
    assert not re.fullmatch(PORT, b"000080")


@pytest.mark.parametrize("host", VALID_HOSTS)
def test_a_valid_host_matches(host: bytes) -> None:
    assert re.fullmatch(HOST, host)


@pytest.mark.parametrize("host", INVALID_HOSTS)
def test_an_invalid_host_does_not_match(host: bytes) -> None:
    assert not re.fullmatch(HOST, host)


def test_a_token_has_the_characters_of_rfc_9110() -> None:
    delimiters = b'"(),/:;<=>?@[\\]{}'
    expected = {c for c in range(0x21, 0x7F) if c not in delimiters}
    assert {c for c in range(256) if re.fullmatch(rb"[" + TCHAR + rb"]", bytes((c,)))} == expected


def test_a_word_in_any_case_matches_itself_only() -> None:
    for word in (b"keep-alive", b"KEEP-ALIVE", b"kEEp-aLIVe"):
        assert re.fullmatch(any_case("keep-alive"), word)
    assert not re.fullmatch(any_case("keep-alive"), b"keepxalive")
