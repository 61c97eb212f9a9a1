"""The head scanner: what it accepts, what it leaves to the full reader, and that it stays linear."""

import time
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.wire.head import DECLINE, NEED_MORE, RequestHead, Scanned, WireLimits, scan, scan_after
from siphon.wire.joined import join_all
from tests.wire.hosts import INVALID_HOSTS, VALID_HOSTS
from tests.wire.reading import LIMITS

BROWSER = (
    b"GET /articles?page=2&sort=new HTTP/1.1\r\n"
    b"Host: www.example.com\r\n"
    b"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n"
    b"Accept: text/html,application/xhtml+xml;q=0.9,*/*;q=0.8\r\n"
    b"Accept-Language: de,en;q=0.5\r\n"
    b"Accept-Encoding: gzip, deflate, br\r\n"
    b"Connection: keep-alive\r\n"
    b"Cookie: session=0123456789abcdef; theme=dark\r\n"
    b"Upgrade-Insecure-Requests: 1\r\n"
    b"Cache-Control: max-age=0\r\n"
    b"\r\n"
)


def accepted(raw: bytes, limits: WireLimits = LIMITS) -> RequestHead:
    head = scan(raw, limits)
    assert isinstance(head, RequestHead), head
    return head


def repeated(last: RequestHead, raw: bytes) -> RequestHead:
    head = scan_after(last, raw, LIMITS, 0)
    assert isinstance(head, RequestHead), head
    return head


def request(*lines: bytes) -> bytes:
    return b"".join(line + b"\r\n" for line in (b"GET / HTTP/1.1", *lines)) + b"\r\n"


@given(
    st.lists(
        st.tuples(
            st.text("aA-:x", min_size=1, max_size=3).filter(lambda name: ":" not in name),
            st.sampled_from(["", " ", "\t "]),
            st.text("aA-:x \t\xe9\xff", max_size=6),
        ),
        max_size=6,
    ),
    st.text("aA-:x\r\n\xe9 ", max_size=4),
)
def test_the_value_of_a_field_is_found_however_it_is_looked_for(
    fields: list[tuple[str, str, str]], asked: str
) -> None:
    lines = [f"{name}:{space}{value}".encode("latin-1") for name, space, value in fields]
    head = accepted(request(b"Host: h", *lines))
    again = repeated(head, request(b"Host: h", *lines))
    whole = join_all(head.fields())
    for name in {asked.lower(), "host", *(name.lower() for name, _, _ in fields)}:
        assert head.value(name) == again.value(name) == whole.get(name)
    assert head.by_name() == again.by_name() == whole


def test_a_browser_head_is_accepted_with_its_fields_in_order() -> None:
    head = accepted(BROWSER)
    assert (head.method, head.target, head.minor_version) == ("GET", "/articles?page=2&sort=new", 1)
    assert head.keep_alive
    assert head.content_length == 0
    assert head.end == len(BROWSER)
    names = [name for name, _ in head.fields()]
    assert names[:3] == [b"Host", b"User-Agent", b"Accept"]
    assert names[-1] == b"Cache-Control"
    assert dict(head.fields())[b"Cookie"] == b"session=0123456789abcdef; theme=dark"


@pytest.mark.parametrize(
    "method",
    [
        "GET",
        "HEAD",
        "POST",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "PROPFIND",
        "get",
        "M-X!",
        "CONNECTS",
        "DISCONNECT",
    ],
)
def test_any_token_is_a_method(method: str) -> None:
    assert accepted(method.encode() + b" / HTTP/1.1\r\nHost: a\r\n\r\n").method == method


@pytest.mark.parametrize(
    "target", ["/", "//a", "/a/../b", "/%2F%zz", "/?", "/a?b=c&d", '/|"<>^`{}\\', "/a;b=c,d@e:f"]
)
def test_a_path_of_visible_characters_is_taken_as_received(target: str) -> None:
    assert accepted(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target.encode()).target == target


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"A:b", (b"A", b"b")),
        (b"A: \t b c \t", (b"A", b"b c")),
        (b"A:", (b"A", b"")),
        (b"A: \t", (b"A", b"")),
        (b"A::b:", (b"A", b":b:")),
        (b"X-Latin: \xe9\xff", (b"X-Latin", b"\xe9\xff")),
        (b"x_y!#$%&'*+-.^_`|~1: 2", (b"x_y!#$%&'*+-.^_`|~1", b"2")),
        (b"Hostile: no host", (b"Hostile", b"no host")),
        (b"Connection-Id: a, b", (b"Connection-Id", b"a, b")),
        (b"Content-Length-Hint: -1", (b"Content-Length-Hint", b"-1")),
        (b"TE: trailers", (b"TE", b"trailers")),
        (b"Expectation: x", (b"Expectation", b"x")),
    ],
)
def test_a_field_is_split_at_its_first_colon_and_stripped(line: bytes, field: tuple[bytes, bytes]) -> None:
    assert accepted(request(b"Host: a", line)).fields() == [(b"Host", b"a"), field]


def test_repeated_fields_are_all_kept() -> None:
    head = accepted(request(b"Accept: a", b"Host: h", b"accept: b"))
    assert head.fields() == [(b"Accept", b"a"), (b"Host", b"h"), (b"accept", b"b")]


@pytest.mark.parametrize(
    ("line", "keep_alive"),
    [
        (b"Connection: close", False),
        (b"connection:CLOSE ", False),
        (b"Connection: keep-alive", True),
        (b"CONNECTION: Keep-Alive", True),
        (b"X: y", True),
    ],
)
def test_connection_says_whether_to_keep_alive(line: bytes, keep_alive: bool) -> None:
    assert accepted(request(b"Host: a", line)).keep_alive is keep_alive


@pytest.mark.parametrize(
    ("line", "length"),
    [
        (b"Content-Length: 0", 0),
        (b"content-length:12", 12),
        (b"CONTENT-LENGTH: \t 12 \t", 12),
        (b"Content-Length: 000000000000012", 12),
        (b"Content-Length: 1048576", 1_048_576),
    ],
)
def test_content_length_is_read(line: bytes, length: int) -> None:
    raw = request(line, b"Host: a")
    head = accepted(raw + b"x" * 20)
    assert (head.content_length, head.end) == (length, len(raw))


@pytest.mark.parametrize("host", VALID_HOSTS)
def test_a_valid_host_is_accepted(host: bytes) -> None:
    assert accepted(request(b"Host: " + host)).fields() == [(b"Host", host)]


@pytest.mark.parametrize("host", INVALID_HOSTS)
def test_an_invalid_host_is_declined(host: bytes) -> None:
    assert scan(request(b"Host: " + host), LIMITS) is DECLINE


@pytest.mark.parametrize(
    "raw",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.0\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.2\r\nHost: a\r\n\r\n",
        b"GET / HTTP/2.0\r\nHost: a\r\n\r\n",
        b"GET / http/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /  HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b" GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n\r\n",
        b"GET /\r\n\r\n",
        b"G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET a HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT a:1 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xe9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\nHost: a\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_a_request_line_outside_the_subset_is_declined(raw: bytes) -> None:
    assert scan(raw, LIMITS) is DECLINE


@pytest.mark.parametrize(
    "line",
    [
        b"Host: b",
        b"HOST: a",
        b"Transfer-Encoding: chunked",
        b"transfer-encoding:",
        b"Expect: 100-continue",
        b"UPGRADE: h2c",
        b"Content-Length: ",
        b"Content-Length: +1",
        b"Content-Length: -1",
        b"Content-Length: 1, 1",
        b"Content-Length: 1 1",
        b"Content-Length: 0x1",
        b"Content-Length: 1_0",
        b"Content-Length: \xb2",
        b"Content-Length: 0000000000000012",
        b"Content-Length: 1\r\nContent-Length: 1",
        b"Connection: close, keep-alive",
        b"Connection: upgrade",
        b"Connection:",
        b"Connection: close\r\nConnection: close",
        b"A : b",
        b" A: b",
        b"A: b\r\n c",
        b"A: b\r\n\tc",
        b"A",
        b": b",
        b"A b: c",
        b"A(): b",
        b"\xe9: b",
        b"A: b\x00c",
        b"A: b\x1bc",
        b"A: b\x7fc",
        b"A: b\rc",
        b"A: b\nC: d",
        b"A: b\x0bc",
    ],
)
def test_a_field_outside_the_subset_is_declined(line: bytes) -> None:
    assert scan(request(b"Host: a", line), LIMITS) is DECLINE


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"G",
        b"GET",
        b"GET /",
        b"GET / HTTP/1.1\r",
        b"GET / HTTP/1.1\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n\r",
    ],
)
def test_more_is_needed_before_the_blank_line(raw: bytes) -> None:
    assert scan(raw, LIMITS) is NEED_MORE


def test_every_beginning_of_a_good_head_needs_more() -> None:
    for size in range(len(BROWSER)):
        assert scan(BROWSER[:size], LIMITS) is NEED_MORE


@pytest.mark.parametrize(
    "raw",
    [
        b"\x16\x03\x01",
        b"\r",
        b"\n",
        b" GET",
        b"GET / HTTP/1.1\nHost",
        b"GET / HTTP/1.1\r\nHost: a\nX",
        b"GET / HTTP/1.1\r\n\n",
        b"HELLO\r\n",
        b"GET / HTTP/1.0\r\nHo",
        b"*1\r\n$4\r\nPING\r\n",
    ],
)
def test_what_cannot_become_a_head_is_declined_without_waiting(raw: bytes) -> None:
    assert scan(raw, LIMITS) is DECLINE


def test_the_largest_head_is_accepted_and_one_byte_more_declined() -> None:
    size = len(BROWSER)
    assert accepted(BROWSER, replace(LIMITS, max_header_bytes=size)).end == size
    assert scan(BROWSER, replace(LIMITS, max_header_bytes=size - 1)) is DECLINE


def test_an_unfinished_head_at_the_limit_is_declined() -> None:
    unfinished = BROWSER[:200]
    assert scan(unfinished, replace(LIMITS, max_header_bytes=201)) is NEED_MORE
    assert scan(unfinished, replace(LIMITS, max_header_bytes=200)) is DECLINE


# What becomes of a head must not depend on the one before it: parts that are good or bad by themselves, and
# lines that could belong to either side of where the fields begin.
_LINES = st.sampled_from(
    [b"GET / HTTP/1.1", b"POST /aaaaaaaaaaaaaaaa HTTP/1.1", b"PURGE /?x HTTP/1.1", b"GET  / HTTP/1.1"]
) | st.sampled_from(
    [b"CONNECT / HTTP/1.1", b"GET / HTTP/1.1\r\nA: b", b"GET / HTTP/1.1\nA: b", b"GET / HTTP/1.0", b""]
)
_FIELDS = st.lists(
    st.sampled_from([b"Host: a", b"Host: b", b"A: b", b"A : b", b"Content-Length: 5", b"Content-Length: 9"])
    | st.sampled_from([b"Connection: close", b"Connection: keep-alive", b"Expect: x", b"A: \x00", b" A: b"]),
    max_size=4,
)


# How the second head's fields differ from those of the first.
_CHANGES: dict[str, Callable[[list[bytes]], list[bytes]]] = {
    "not at all": list,
    "another order": lambda fields: fields[::-1],
    "one more": lambda fields: [*fields, b"A: b"],
    "one more that makes it bad": lambda fields: [*fields, b"Host: a"],
    "one less": lambda fields: fields[:-1],
    "others of the same size": lambda fields: [field.swapcase() for field in fields],
    "bad ones of the same size": lambda fields: [field.replace(b": ", b" :") for field in fields],
}


@pytest.mark.parametrize("change", _CHANGES)
@given(
    _LINES,
    _LINES,
    _FIELDS,
    st.sampled_from([LIMITS, replace(LIMITS, max_headers=2), replace(LIMITS, max_target_bytes=8)])
    | st.integers(30, 90).map(lambda size: replace(LIMITS, max_header_bytes=size, max_body_bytes=8)),
    st.sampled_from([b"", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"\n"]),
)
def test_a_head_is_judged_alike_whatever_came_before_it(
    change: str, first: bytes, second: bytes, fields: list[bytes], limits: WireLimits, ahead: bytes
) -> None:
    fields = [b"Host: a", *fields]
    last = scan(b"\r\n".join([first, *fields, b"", b""]), limits)
    if not isinstance(last, RequestHead):
        last = accepted(request(b"Host: a"))
    raw = ahead + b"\r\n".join([second, *_CHANGES[change](fields), b"", b""])
    after = scan_after(last, raw, limits, len(ahead))
    assert alike(after) == scan(raw, limits, len(ahead))


def alike(head: Scanned) -> Scanned:
    """The head as ``scan`` gives it."""
    return head._replace(repeated=None) if isinstance(head, RequestHead) else head


def test_fields_that_are_repeated_are_kept_and_split_once() -> None:
    head = accepted(BROWSER)
    assert head.repeated is None
    second = repeated(head, BROWSER.replace(b"/articles", b"/other"))
    assert second.target == "/other?page=2&sort=new"
    assert second.block is head.block
    third = repeated(second, BROWSER)
    assert second.repeated is not None
    assert third.repeated is second.repeated
    cookie = third.value("cookie")
    assert cookie == "session=0123456789abcdef; theme=dark"
    assert second.value("cookie") is repeated(third, BROWSER).value("cookie") is cookie
    assert second.value("x-none") is None


def test_what_one_request_makes_of_its_fields_is_its_own() -> None:
    head = accepted(BROWSER)
    second = repeated(head, BROWSER)
    for one in (head, second, repeated(second, BROWSER)):
        assert one.value("accept") != "mine"
        fields = one.by_name()
        fields["accept"] = "mine"
        assert one.by_name()["accept"] == one.value("accept") != "mine"


@pytest.mark.parametrize("fields", [1, 2, 10, 40])
def test_one_field_more_than_allowed_is_declined(fields: int) -> None:
    raw = request(b"Host: a", *[b"a:"] * (fields - 1))
    assert len(accepted(raw, replace(LIMITS, max_headers=fields)).fields()) == fields
    assert scan(raw, replace(LIMITS, max_headers=fields - 1)) is DECLINE


def test_one_field_more_than_allowed_is_declined_before_the_head_is_whole() -> None:
    unfinished = request(b"Host: a", b"a: b")[:-2]
    assert scan(unfinished, replace(LIMITS, max_headers=2)) is NEED_MORE
    assert scan(unfinished + b"c", replace(LIMITS, max_headers=2)) is NEED_MORE
    assert scan(unfinished, replace(LIMITS, max_headers=1)) is DECLINE


def test_a_target_one_byte_too_long_is_declined() -> None:
    raw = b"GET /abcd HTTP/1.1\r\nHost: a\r\n\r\n"
    assert accepted(raw, replace(LIMITS, max_target_bytes=5)).target == "/abcd"
    assert scan(raw, replace(LIMITS, max_target_bytes=4)) is DECLINE


def test_a_first_line_without_an_end_is_declined_once_its_target_is_too_long() -> None:
    assert scan(b"GET /" + b"a" * 9_000, LIMITS) is DECLINE


def test_a_body_over_the_limit_is_declined_when_it_is_declared() -> None:
    raw = request(b"Host: a", b"Content-Length: 11")
    assert accepted(raw, replace(LIMITS, max_body_bytes=11)).content_length == 11
    assert scan(raw, replace(LIMITS, max_body_bytes=10)) is DECLINE


def test_a_pipelined_head_is_read_where_it_starts() -> None:
    first, second = request(b"Host: a"), b"PUT /b HTTP/1.1\r\nHost: b\r\nContent-Length: 1\r\n\r\n"
    buffer = first + second + b"x"
    head = scan(buffer, LIMITS, len(first))
    assert isinstance(head, RequestHead)
    assert (head.method, head.target, head.end) == ("PUT", "/b", len(first + second))
    assert head.fields() == [(b"Host", b"b"), (b"Content-Length", b"1")]
    assert scan(buffer[:-8], LIMITS, len(first)) is NEED_MORE
    assert scan(first + b"\x00", LIMITS, len(first)) is DECLINE


def test_bytes_behind_the_head_are_not_looked_at() -> None:
    raw = request(b"Host: a")
    assert accepted(raw + b"\x00\n\r\r\n\r\n" * 5_000, replace(LIMITS, max_header_bytes=len(raw))).end == len(
        raw
    )


def adversarial(size: int) -> list[bytes]:
    """Heads of about ``size`` bytes, each slow for a pattern that can match in many ways."""
    lines = size // 8
    return [
        b"G" * size,
        b"GET /" + b"a" * size + b"\r\n\r\n",
        request(b"Host: a", b"A:" + b" " * size + b"\x00"),
        request(b"Host: a", b"A:" + b" \t" * (size // 2) + b"b" + b"\t " * 10 + b"\x00"),
        request(b"Host: " + b"a." * (size // 2) + b"/"),
        request(b"Host: " + b"%41" * (size // 3) + b"%"),
        request(b"Host: [" + b"1:" * (size // 2) + b"]"),
        request(*[b"Conn: x"] * lines, b"\x00"),
        request(*[b"Hos: ab"] * lines, b"Host: a", b"Host: a"),
        request(b"Host: a", b"Content-Length: " + b"1" * size),
        request(b"Host: a", b"Connection: " + b"close " * (size // 6)),
        request(b"Host: a", b"A" * size),
        request(b"Host: a", *[b"Ab: c" + b" " * 100] * (size // 110), b"\x00"),
    ]


@pytest.mark.parametrize("case", range(len(adversarial(1))))
def test_an_adversarial_head_takes_no_more_than_linear_time(case: int) -> None:
    limits = replace(LIMITS, max_header_bytes=1 << 24, max_headers=1 << 20, max_target_bytes=1 << 24)

    def best_time(size: int) -> float:
        raw = adversarial(size)[case]
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            scan(raw, limits)
            times.append(time.perf_counter() - begin)
        return min(times)

    # Sixteen times the size takes 16 times as long if linear and 256 times if quadratic.
    assert best_time(16_384 * 16) < 100 * max(best_time(16_384), 1e-5)
