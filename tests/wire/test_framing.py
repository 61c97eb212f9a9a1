"""How fields frame a request: Host, Content-Length, Transfer-Encoding, Connection, Expect."""

from dataclasses import replace

import pytest

from siphon.errors import RequestRefused
from siphon.wire.framing import Framing, judge
from tests.wire.hosts import INVALID_HOSTS, VALID_HOSTS
from tests.wire.reading import LIMITS

HOST = (b"host", b"a")
CHUNKED = (b"transfer-encoding", b"chunked")


def length(value: bytes) -> tuple[bytes, bytes]:
    return (b"content-length", value)


def status_of(*fields: tuple[bytes, bytes], minor_version: int = 1) -> int:
    with pytest.raises(RequestRefused) as caught:
        judge(fields, minor_version, LIMITS)
    return caught.value.status


def test_a_request_with_only_a_host_has_no_body_and_keeps_the_connection() -> None:
    assert judge([HOST], 1, LIMITS) == Framing(0, False, True, False)


@pytest.mark.parametrize("minor_version", [0, 1])
@pytest.mark.parametrize("host", VALID_HOSTS)
def test_a_valid_host_passes(host: bytes, minor_version: int) -> None:
    judge([(b"host", host)], minor_version, LIMITS)


@pytest.mark.parametrize("minor_version", [0, 1])
@pytest.mark.parametrize("host", INVALID_HOSTS)
def test_an_invalid_host_is_400(host: bytes, minor_version: int) -> None:
    assert status_of((b"host", host), minor_version=minor_version) == 400


@pytest.mark.parametrize("minor_version", [0, 1])
def test_two_hosts_are_400_even_if_equal(minor_version: int) -> None:
    assert status_of(HOST, HOST, minor_version=minor_version) == 400


def test_only_http_1_0_may_leave_out_the_host() -> None:
    assert status_of() == 400
    assert judge([], 0, LIMITS) == Framing(0, False, False, False)


@pytest.mark.parametrize(
    ("value", "expected"), [(b"0", 0), (b"5", 5), (b"00000000000000000005", 5), (b"1048576", 1_048_576)]
)
def test_content_length_is_decimal(value: bytes, expected: int) -> None:
    assert judge([HOST, length(value)], 1, LIMITS).content_length == expected


@pytest.mark.parametrize(
    "value",
    [
        b"0" * 20 + b"5",
        b"",
        b"+1",
        b"-1",
        b"1,1",
        b"1, 1",
        b"1 1",
        b"0x1",
        b"1_0",
        b"1.0",
        b"\xb2",
        b"a",
        b"\t",
    ],
)
def test_content_length_that_is_no_number_is_400(value: bytes) -> None:
    assert status_of(HOST, length(value)) == 400


def test_two_content_lengths_are_400_even_if_equal() -> None:
    assert status_of(HOST, length(b"1"), length(b"1")) == 400


@pytest.mark.parametrize("value", [b"1048577", b"9999999999999999", b"9" * 5_000])
def test_a_declared_length_over_the_limit_is_413(value: bytes) -> None:
    assert status_of(HOST, length(value)) == 413


@pytest.mark.parametrize("value", [b"chunked", b"Chunked", b"CHUNKED"])
def test_chunked_is_taken_in_any_case(value: bytes) -> None:
    assert judge([HOST, (b"transfer-encoding", value)], 1, LIMITS).chunked


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"gzip",
        b"identity",
        b"gzip, chunked",
        b"chunked, chunked",
        b"chunked,",
        b",chunked",
        b"chunked;a=b",
        b"xchunked",
        b'"chunked"',
    ],
)
def test_any_other_transfer_encoding_is_400(value: bytes) -> None:
    assert status_of(HOST, (b"transfer-encoding", value)) == 400


def test_two_transfer_encodings_are_400() -> None:
    assert status_of(HOST, CHUNKED, CHUNKED) == 400


def test_transfer_encoding_from_http_1_0_is_400() -> None:
    assert status_of(HOST, CHUNKED, minor_version=0) == 400


@pytest.mark.parametrize("value", [b"0", b"5", b"x", b"9" * 30])
def test_content_length_with_transfer_encoding_is_400_whatever_it_says(value: bytes) -> None:
    assert status_of(HOST, length(value), CHUNKED) == 400


@pytest.mark.parametrize(
    ("minor_version", "values", "keep_alive"),
    [
        (1, [], True),
        (1, [b"keep-alive"], True),
        (1, [b"close"], False),
        (1, [b"Close"], False),
        (1, [b"keep-alive, close"], False),
        (1, [b"keep-alive", b" ,x,\tCLOSE\t,"], False),
        (1, [b"closed"], True),
        (1, [b"upgrade"], True),
        (0, [], False),
        (0, [b"Keep-Alive"], True),
        (0, [b"x, keep-alive"], True),
        (0, [b"keep-alive, close"], False),
        (0, [b"upgrade"], False),
    ],
)
def test_connection_decides_whether_to_keep_alive(
    minor_version: int, values: list[bytes], keep_alive: bool
) -> None:
    fields = [HOST, *((b"connection", value) for value in values)]
    assert judge(fields, minor_version, LIMITS).keep_alive is keep_alive


@pytest.mark.parametrize("value", [b"100-continue", b"100-Continue", b"100-continue, 100-continue"])
def test_100_continue_is_expected(value: bytes) -> None:
    assert judge([HOST, length(b"1"), (b"expect", value)], 1, LIMITS).expects_continue


@pytest.mark.parametrize("value", [b"x", b"100-continue, x", b"200-ok", b"100-continue=1"])
def test_another_expectation_is_417(value: bytes) -> None:
    assert status_of(HOST, length(b"1"), (b"expect", value)) == 417


@pytest.mark.parametrize("value", [b"100-continue", b"x"])
def test_http_1_0_expects_nothing(value: bytes) -> None:
    assert not judge([HOST, (b"expect", value)], 0, LIMITS).expects_continue


def test_a_framing_error_comes_before_an_unmet_expectation() -> None:
    assert status_of(HOST, CHUNKED, length(b"1"), (b"expect", b"x")) == 400


def test_a_body_at_the_limit_is_taken() -> None:
    assert judge([HOST, length(b"10")], 1, replace(LIMITS, max_body_bytes=10)).content_length == 10
