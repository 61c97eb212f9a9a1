"""Header lists: what a request becomes, and which responses are refused, compared with what h2 refuses."""

import string

import pytest
from h2.exceptions import ProtocolError
from h2.utilities import HeaderValidationFlags, validate_headers
from hpack import Decoder, Encoder, NeverIndexedHeaderTuple
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from siphon.wire.http2_fields import MalformedResponse, checked, request_fields, response_head

# How long it takes says nothing on a machine that is busy with something else.
unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
RESPONSE = HeaderValidationFlags(
    is_client=True, is_trailer=False, is_response_header=True, is_push_promise=False
)
TRAILERS = RESPONSE._replace(is_trailer=True, is_response_header=False)

names = st.sampled_from(
    [b":status", b":path", b"a", b"content-type", b"connection", b"te", b"A", b"a b", b"a:b", b"", b"\xe9"]
) | st.binary(max_size=4)
values = st.sampled_from(
    [b"200", b"103", b"", b"a", b" a", b"a ", b"a\tb", b"a\r\nb", b"\0", b"\xe9"]
) | st.binary(max_size=4)
header_lists = st.lists(st.tuples(names, values), max_size=4)


def h2_accepts(headers: list[tuple[bytes, bytes]], flags: HeaderValidationFlags) -> bool:
    try:
        list(validate_headers(headers, flags))
    except ProtocolError:
        return False
    return True


@unhurried
@given(header_lists | header_lists.map(lambda headers: [(b":status", b"200"), *headers]))
@example([(b":status", b"200"), (b"a", b"b"), (b"a", b"c")])
def test_every_head_that_is_accepted_h2_would_accept(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        status, fields = response_head(headers)
    except MalformedResponse:
        return
    assert h2_accepts(headers, RESPONSE)
    assert (b":status", str(status).encode()) == headers[0]
    assert [(name.encode(), value.encode("latin-1")) for name, value in fields] == headers[1:]


@unhurried
@given(header_lists)
@example([(b"te", b"gzip")])
def test_all_trailers_that_are_accepted_h2_would_accept(headers: list[tuple[bytes, bytes]]) -> None:
    try:
        checked(headers)
    except MalformedResponse:
        return
    assert h2_accepts(headers, TRAILERS)


@unhurried
@given(
    st.lists(
        st.tuples(
            st.text(string.ascii_lowercase + string.digits + "-_!#$%&'*+.^`|~", min_size=1),
            st.text("".join(map(chr, [*range(0x21, 0x7F), *range(0x80, 0x100)]))),
        )
    )
)
def test_every_plain_head_is_accepted(fields: list[tuple[str, str]]) -> None:
    headers = [(name.encode(), value.encode("latin-1")) for name, value in fields]
    if h2_accepts([(b":status", b"200"), *headers], RESPONSE):
        assert response_head([(b":status", b"200"), *headers]) == (200, fields)


def test_a_request_s_fields_survive_the_compression() -> None:
    fields = [("X-Name", " padded\t"), ("Empty", ""), ("Latin", "\xe9")]
    made = request_fields("GET", "https", "host:8443", "/p?q", fields)
    decoded = [tuple(field) for field in Decoder().decode(Encoder().encode(made), raw=True)]
    assert decoded == [
        (b":method", b"GET"),
        (b":scheme", b"https"),
        (b":authority", b"host:8443"),
        (b":path", b"/p?q"),
        (b"x-name", b"padded"),
        (b"empty", b""),
        (b"latin", b"\xe9"),
    ]


@pytest.mark.parametrize(
    ("name", "value", "kept"),
    [
        ("Connection", "x", False),
        ("Keep-Alive", "x", False),
        ("Proxy-Connection", "x", False),
        ("Transfer-Encoding", "chunked", False),
        ("Upgrade", "h2c", False),
        ("TE", "trailers", True),
        ("TE", "Trailers", True),
        ("TE", "trailers, deflate", False),
        ("Content-Length", "1", True),
        ("Cookie", "a=1; b=2", True),
        ("Expect", "100-continue", True),
    ],
)
def test_what_speaks_of_the_connection_is_left_out(name: str, value: str, kept: bool) -> None:
    made = request_fields("GET", "http", "host", "/", [(name, value)])
    assert made[4:] == ([(name.lower().encode(), value.encode())] if kept else [])


def test_what_connection_names_is_left_out_as_well() -> None:
    fields = [("X-Hop", "1"), ("Connection", "close, X-Hop"), ("Kept", "1")]
    assert request_fields("GET", "http", "host", "/", fields)[4:] == [(b"kept", b"1")]


def test_host_becomes_the_authority() -> None:
    made = request_fields("GET", "http", "host", "/", [("Host", "other.example"), ("A", "b")])
    assert made[2:] == [(b":authority", b"other.example"), (b":path", b"/"), (b"a", b"b")]


def test_secrets_are_kept_out_of_the_compression_s_table() -> None:
    fields = [
        ("Authorization", "Basic x"),
        ("Proxy-Authorization", "Basic x"),
        ("Cookie", "short=1"),
        ("Cookie", "long=" + "x" * 20),
        ("Accept", "*/*"),
    ]
    made = request_fields("GET", "http", "host", "/", fields)[4:]
    assert [isinstance(field, NeverIndexedHeaderTuple) for field in made] == [True, True, True, False, False]
