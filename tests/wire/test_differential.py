"""The scanner, the full reader and h11 alone agree on near-valid requests.

``SIPHON_FUZZ_EXAMPLES`` sets how many requests each test makes up, and turns on random seeds.
"""

import os
import re

import h11
from hypothesis import event, given, settings
from hypothesis import strategies as st

from siphon.wire.head import DECLINE, NEED_MORE, RequestHead, WireLimits, scan
from tests.wire.reading import LIMITS, Read, cut, meaning_of, one_by_one, outcome, read_with_h11

FUZZ_EXAMPLES = int(os.environ.get("SIPHON_FUZZ_EXAMPLES", "0"))
SMALL = WireLimits(max_header_bytes=120, max_headers=4, max_target_bytes=12, max_body_bytes=8)

# Whitespace before a chunk extension, and leading zeros of a chunk's size.
H11_REFUSES = re.compile(rb"\r\n(?:[0-9A-Fa-f]++[ \t]++;|0[0-9A-Fa-f]{20,})")

fuzz = settings(max_examples=FUZZ_EXAMPLES or 300, deadline=None, derandomize=not FUZZ_EXAMPLES)


def mostly(usual: bytes, *others: bytes) -> st.SearchStrategy[bytes]:
    """``usual`` about four times out of five, and what hypothesis shrinks to."""
    return st.sampled_from([usual] * (4 * len(others)) + list(others))


methods = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"x-y", b"", b"G T", b"G:"])
targets = st.sampled_from(
    [
        b"/",
        b"/a?b=c",
        b"//x",
        b"*",
        b"http://h:1/p",
        b"HTTP://h?q",
        b"h:80",
        b"/#",
        b"/\x80",
        b"",
        b"/123456789ab",
    ]
)
versions = mostly(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1", b"http/1.1", b"HTTP/1.1 ")
line_ends = mostly(b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r\n ")
names = st.sampled_from(
    [
        b"Host", b"host", b"HOST", b"Connection", b"Content-Length", b"content-length", b"Transfer-Encoding",
        b"Expect", b"Upgrade", b"X", b"Cookie", b"TE", b"Accept", b"User-Agent", b"Hosts", b"Host ", b"",
    ]
)  # fmt: skip
values = st.sampled_from(
    [
        b"h", b"h:80", b"[::1]", b"u@h", b"close", b"keep-alive", b"Keep-Alive, x", b"upgrade", b"0", b"3",
        b"03", b"+3", b"3, 3", b"9999999999999999", b"chunked", b"Chunked", b"gzip, chunked", b"100-continue",
        b"", b"h2c", b"\xff", b"a\tb", b"a\x00b", b"a\x7fb", b"a:b",
    ]
)  # fmt: skip
colons = mostly(b": ", b":", b":\t ", b" :", b"=")
free_fields = st.tuples(names, colons, values, mostly(b"", b" ", b"\t "))
hosts = st.sampled_from([(b"Host", b": ", b"h", b"")] * 6 + [(b"X", b":", b"", b"")])
framings = st.sampled_from(
    [
        (b"X-None", b":", b"", b""),
        (b"Content-Length", b": ", b"3", b""),
        (b"Transfer-Encoding", b": ", b"chunked", b""),
    ]
)
bodies = st.sampled_from(
    [
        b"", b"abc", b"abcd", b"3\r\nabc\r\n0\r\n\r\n", b"1;x=y\r\na\r\n02\r\nbc\r\n0\r\nT: u\r\n\r\n",
        b"3 ;a\t=\tb\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n", b"0\r\nHost: x\r\n\r\n", b"9\r\nabcabcabc\r\n0\r\n\r\n",
        b"3\r\nabc0\r\n\r\n", b"1;\r\na\r\n0\r\n\r\n", b"3\nabc\r\n0\r\n\r\n",
        b"0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
    ]
)  # fmt: skip


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """A request put together from good parts and, now and then, a bad one."""
    parts = [draw(mostly(b"", b"\r\n", b"\n", b" ")), draw(methods), draw(mostly(b" ", b"  ", b"\t"))]
    parts += [draw(targets), draw(mostly(b" ", b"  ")), draw(versions), draw(line_ends)]
    fields = [draw(hosts), draw(framings), *draw(st.lists(free_fields, max_size=3))]
    for field in draw(st.permutations(fields)):
        parts += [*field, draw(line_ends)]
    return b"".join([*parts, draw(line_ends), draw(bodies)])


@st.composite
def good_requests(draw: st.DrawFn) -> bytes:
    """A well-formed HTTP/1.1 request in origin-form with some plain fields."""
    plain = st.tuples(
        st.sampled_from([b"X", b"Cookie", b"TE", b"Accept", b"User-Agent", b"Hosts", b"Etag"]),
        st.sampled_from([b": ", b":", b":\t "]),
        st.binary(max_size=6).map(lambda raw: bytes(c for c in raw if 0x20 <= c != 0x7F)),
        st.sampled_from([b"", b" ", b"\t "]),
    )
    special = st.sampled_from(
        [(b"Connection", b": ", b"close", b""), (b"connection", b":", b"Keep-Alive", b" ")]
    )
    fields = [
        (b"Host", b": ", b"h:80", b""),
        *draw(st.lists(plain, max_size=3)),
        *draw(st.lists(special, max_size=1)),
    ]
    framing = draw(framings)
    body = {b"X-None": b"", b"Content-Length": b"abc"}.get(framing[0], b"3;x\r\nabc\r\n0\r\n\r\n")
    lines = [b"".join(field) for field in draw(st.permutations([*fields, framing]))]
    line = b" ".join([draw(st.sampled_from([b"GET", b"POST", b"x-y"])), b"/a?b", b"HTTP/1.1"])
    return b"".join(part + b"\r\n" for part in [line, *lines, b""]) + body


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good request with up to three bytes put in, taken out or changed, or a slice doubled."""
    raw = bytearray(draw(good_requests()))
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(raw) - 1))
        byte = draw(st.sampled_from(b"\r\n \t\x00\x0b\x7f\x80:;,=#/*0aZ"))
        kind = draw(st.sampled_from(["put in", "take out", "change", "double"]))
        if kind == "put in":
            raw.insert(place, byte)
        elif kind == "take out":
            del raw[place]
        elif kind == "change":
            raw[place] = byte
        else:
            raw[place:place] = raw[place : place + draw(st.integers(1, 40))]
    return bytes(raw)


any_request = st.one_of(good_requests(), requests(), damaged())
any_limits = st.sampled_from([LIMITS, LIMITS, LIMITS, SMALL])


def check_against_h11(raw: bytes, ours: Read) -> None:
    """h11 alone reads the same request; what siphon means to read otherwise is told apart here."""
    try:
        method, target, fields, keep_alive, body, rest = read_with_h11(raw.removeprefix(b"\r\n"))
    except h11.RemoteProtocolError:
        # What h11 refuses and a recipient must take (RFC 9112 section 7.1).
        assert H11_REFUSES.search(raw)
        return
    meaning = ours.meaning
    assert (meaning.method.encode(), ours.body, ours.rest) == (method, body, rest)
    if target.startswith((b"/", b"*")) or method == b"CONNECT":
        assert (meaning.target.encode(), meaning.fields) == (target, fields)
    if meaning.minor_version == 1:
        assert meaning.keep_alive is keep_alive


@fuzz
@given(any_request, any_limits)
def test_whatever_the_scanner_accepts_means_the_same_to_the_reader_and_to_h11(
    raw: bytes, limits: WireLimits
) -> None:
    head = scan(raw, limits)
    event(head.value if not isinstance(head, RequestHead) else "accept")
    if not isinstance(head, RequestHead):
        return
    end = head.end + head.content_length
    whole = raw.ljust(end, b"x")  # a body that has not come yet is no part of the question
    expected = Read(meaning_of(head), whole[head.end : end], whole[end:])
    assert outcome([whole], limits) == expected
    check_against_h11(whole, expected)


@fuzz
@given(any_request, any_limits)
def test_whatever_the_reader_accepts_h11_accepts(raw: bytes, limits: WireLimits) -> None:
    result = outcome([raw], limits)
    event(str(result) if not isinstance(result, Read) else "accept")
    if isinstance(result, Read):
        check_against_h11(raw, result)


@fuzz
@given(any_request, any_limits, st.lists(st.integers(0, 300), max_size=4))
def test_the_outcome_does_not_depend_on_how_the_bytes_are_cut(
    raw: bytes, limits: WireLimits, places: list[int]
) -> None:
    whole = outcome([raw], limits)
    assert outcome(one_by_one(raw), limits) == whole
    assert outcome(cut(raw, places), limits) == whole


@fuzz
@given(good_requests(), st.data())
def test_the_scanner_waits_for_what_may_become_good_and_only_for_that(
    raw: bytes, data: st.DataObject
) -> None:
    head = scan(raw, LIMITS)
    if isinstance(head, RequestHead):
        assert scan(raw[: data.draw(st.integers(0, head.end - 1))], LIMITS) is NEED_MORE
    else:
        assert head is DECLINE
        assert b"Transfer-Encoding" in raw


@fuzz
@given(any_request, any_limits)
def test_the_scanner_never_accepts_what_the_reader_refuses(raw: bytes, limits: WireLimits) -> None:
    if isinstance(outcome([raw], limits), int):
        assert not isinstance(scan(raw, limits), RequestHead)


@fuzz
@given(st.binary(max_size=60), any_limits)
def test_junk_is_refused_or_waited_for_and_h11_knows_no_better(raw: bytes, limits: WireLimits) -> None:
    result = outcome([raw], limits)
    assert outcome(one_by_one(raw), limits) == result
    if isinstance(result, Read):
        check_against_h11(raw, result)


def test_h11_alone_takes_what_siphon_refuses() -> None:
    """The guard is needed: without it h11 would let these pass."""
    for raw in (
        b"GET / HTTP/1.1\nHost: a\n\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: u@h/p\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /#f HTTP/1.1\r\nHost: a\r\n\r\n",
    ):
        assert isinstance(read_with_h11(raw).method, bytes)
        assert outcome([raw]) == 400
