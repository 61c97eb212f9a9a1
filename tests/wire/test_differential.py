"""The scanner, the full reader and h11 alone agree on near-valid requests.

``SIPHON_FUZZ_EXAMPLES`` sets how many requests each test makes up, and turns on random seeds.
"""

import os
import random
import re
from collections.abc import Callable, Iterator

import h11
from hypothesis import HealthCheck, event, given, note, settings
from hypothesis import strategies as st

from siphon.wire.head import DECLINE, NEED_MORE, RequestHead, WireLimits, scan
from tests.wire.reading import LIMITS, Read, cut, meaning_of, one_by_one, outcome, read_with_h11

FUZZ_EXAMPLES = int(os.environ.get("SIPHON_FUZZ_EXAMPLES", "0"))
SMALL = WireLimits(max_header_bytes=120, max_headers=4, max_target_bytes=12, max_body_bytes=8)

# Whitespace before a chunk extension, and leading zeros of a chunk's size.
H11_REFUSES = re.compile(rb"\r\n(?:[0-9A-Fa-f]++[ \t]++;|0[0-9A-Fa-f]{20,})")

# Hypothesis decides each choice, and shrinks. In numbers it only gives a seed for many requests at a time,
# which is twenty times as fast.
AT_A_TIME = 50 if FUZZ_EXAMPLES else 1
dices = st.randoms(use_true_random=bool(FUZZ_EXAMPLES))
fuzz = settings(
    max_examples=-(-FUZZ_EXAMPLES // AT_A_TIME) or 300,
    deadline=None,
    derandomize=not FUZZ_EXAMPLES,
    suppress_health_check=[HealthCheck.too_slow],  # it is the machine that is slow, if anything
)


def mostly(usual: bytes, *others: bytes) -> list[bytes]:
    """A choice of ``usual`` about four times out of five, and what hypothesis shrinks to."""
    return [usual] * (4 * len(others)) + list(others)


METHODS = [b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"x-y", b"", b"G T", b"G:"]
TARGETS = [
    b"/", b"/a?b=c", b"//x", b"*", b"http://h:1/p", b"HTTP://h?q", b"h:80", b"/#", b"/\x80", b"",
    b"/123456789ab",
]  # fmt: skip
VERSIONS = mostly(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/1", b"http/1.1", b"HTTP/1.1 ")
LINE_ENDS = mostly(b"\r\n", b"\n", b"\r", b"\r\r\n", b"\r\n ")
NAMES = [
    b"Host", b"host", b"HOST", b"Connection", b"Content-Length", b"content-length", b"Transfer-Encoding",
    b"Expect", b"Upgrade", b"X", b"Cookie", b"TE", b"Accept", b"User-Agent", b"Hosts", b"Host ", b"",
]  # fmt: skip
VALUES = [
    b"h", b"h:80", b"[::1]", b"u@h", b"close", b"keep-alive", b"Keep-Alive, x", b"upgrade", b"0", b"3",
    b"03", b"+3", b"3, 3", b"9999999999999999", b"chunked", b"Chunked", b"gzip, chunked", b"100-continue",
    b"", b"h2c", b"\xff", b"a\tb", b"a\x00b", b"a\x7fb", b"a:b",
]  # fmt: skip
COLONS = mostly(b": ", b":", b":\t ", b" :", b"=")
ENDS_OF_VALUES = mostly(b"", b" ", b"\t ")
HOSTS = [b"Host: h"] * 6 + [b"X:"]
FRAMINGS = {
    b"X-None:": b"",
    b"Content-Length: 3": b"abc",
    b"Transfer-Encoding: chunked": b"3;x\r\nabc\r\n0\r\n\r\n",
}
BODIES = [
    b"", b"abc", b"abcd", b"3\r\nabc\r\n0\r\n\r\n", b"1;x=y\r\na\r\n02\r\nbc\r\n0\r\nT: u\r\n\r\n",
    b"3 ;a\t=\tb\r\nabc\r\n0\r\n\r\n",
    b"3 \r\nabc\r\n0\r\n\r\n", b"0\r\nHost: x\r\n\r\n", b"9\r\nabcabcabc\r\n0\r\n\r\n",
    b"3\r\nabc0\r\n\r\n", b"1;\r\na\r\n0\r\n\r\n", b"3\nabc\r\n0\r\n\r\n",
    b"0\r\n\r\nGET / HTTP/1.1\r\nHost: h\r\n\r\n",
]  # fmt: skip
PLAIN_NAMES = [b"X", b"Cookie", b"TE", b"Accept", b"User-Agent", b"Hosts", b"Etag"]
PRINTABLE = bytes(char for char in range(0x20, 0x100) if char != 0x7F)


def poor_request(dice: random.Random) -> bytes:
    """A request put together from good parts and, now and then, a bad one."""
    pick = dice.choice
    parts = [pick(mostly(b"", b"\r\n", b"\n", b" ")), pick(METHODS), pick(mostly(b" ", b"  ", b"\t"))]
    parts += [pick(TARGETS), pick(mostly(b" ", b"  ")), pick(VERSIONS), pick(LINE_ENDS)]
    fields = [pick(HOSTS), pick(list(FRAMINGS))]
    for _ in range(dice.randint(0, 3)):
        fields.append(b"".join([pick(NAMES), pick(COLONS), pick(VALUES), pick(ENDS_OF_VALUES)]))
    for field in dice.sample(fields, len(fields)):
        parts += [field, pick(LINE_ENDS)]
    return b"".join([*parts, pick(LINE_ENDS), pick(BODIES)])


def good_request(dice: random.Random) -> bytes:
    """A well-formed HTTP/1.1 request in origin-form with some plain fields."""
    pick = dice.choice
    framing = pick(list(FRAMINGS))
    fields = [b"Host: h:80", framing]
    for _ in range(dice.randint(0, 3)):
        value = bytes(pick(PRINTABLE) for _ in range(dice.randint(0, 6)))
        fields.append(
            b"".join([pick(PLAIN_NAMES), pick([b": ", b":", b":\t "]), value, pick(ENDS_OF_VALUES)])
        )
    if dice.randint(0, 1):
        fields.append(pick([b"Connection: close", b"connection:Keep-Alive "]))
    lines = [pick([b"GET", b"POST", b"x-y"]) + b" /a?b HTTP/1.1", *dice.sample(fields, len(fields)), b""]
    return b"".join([line + b"\r\n" for line in lines]) + FRAMINGS[framing]


def damaged_request(dice: random.Random) -> bytes:
    """A good request with up to three bytes put in, taken out or changed, or a slice doubled."""
    raw = bytearray(good_request(dice))
    for _ in range(dice.randint(0, 3)):
        place = dice.randint(0, len(raw) - 1)
        byte = dice.choice(b"\r\n \t\x00\x0b\x7f\x80:;,=#/*0aZ")
        kind = dice.choice(["put in", "take out", "change", "double"])
        if kind == "put in":
            raw.insert(place, byte)
        elif kind == "take out":
            del raw[place]
        elif kind == "change":
            raw[place] = byte
        else:
            raw[place:place] = raw[place : place + dice.randint(1, 40)]
    return bytes(raw)


def any_request(dice: random.Random) -> bytes:
    """A request of any kind."""
    return dice.choice([good_request, poor_request, damaged_request])(dice)


def made_up(
    dice: random.Random, make: Callable[[random.Random], bytes] = any_request
) -> Iterator[tuple[bytes, WireLimits]]:
    """Requests, and limits for each."""
    for _ in range(AT_A_TIME):
        raw = make(dice)
        note(repr(raw))
        yield raw, dice.choice([LIMITS, LIMITS, LIMITS, SMALL])


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
    # After CONNECT or Upgrade h11 waits whether the protocol is switched, and does not tell.
    may_switch = method == b"CONNECT" or any(name.lower() == b"upgrade" for name, _ in fields)
    if meaning.minor_version == 1 and not may_switch:
        assert meaning.keep_alive is keep_alive


def junk(dice: random.Random) -> bytes:
    return dice.randbytes(dice.randint(0, 60))


@fuzz
@given(dices)
def test_whatever_the_scanner_accepts_means_the_same_to_the_reader_and_to_h11(dice: random.Random) -> None:
    for raw, limits in made_up(dice):
        head = scan(raw, limits)
        event(head.value if not isinstance(head, RequestHead) else "accept")
        if isinstance(head, RequestHead):
            end = head.end + head.content_length
            whole = raw.ljust(end, b"x")  # a body that has not come yet is no part of the question
            expected = Read(meaning_of(head), whole[head.end : end], whole[end:])
            assert outcome([whole], limits) == expected
            check_against_h11(whole, expected)


@fuzz
@given(dices)
def test_whatever_the_reader_accepts_h11_accepts(dice: random.Random) -> None:
    for raw, limits in made_up(dice):
        result = outcome([raw], limits)
        event(str(result) if not isinstance(result, Read) else "accept")
        if isinstance(result, Read):
            check_against_h11(raw, result)


@fuzz
@given(dices)
def test_the_outcome_does_not_depend_on_how_the_bytes_are_cut(dice: random.Random) -> None:
    for raw, limits in made_up(dice):
        whole = outcome([raw], limits)
        assert outcome(one_by_one(raw), limits) == whole
        places = [dice.randint(0, 300) for _ in range(dice.randint(0, 4))]
        assert outcome(cut(raw, places), limits) == whole


@fuzz
@given(dices)
def test_the_scanner_waits_for_what_may_become_good_and_only_for_that(dice: random.Random) -> None:
    for raw, _ in made_up(dice, good_request):
        head = scan(raw, LIMITS)
        if isinstance(head, RequestHead):
            assert scan(raw[: dice.randint(0, head.end - 1)], LIMITS) is NEED_MORE
        else:
            assert head is DECLINE
            assert b"Transfer-Encoding" in raw


@fuzz
@given(dices)
def test_the_scanner_never_accepts_what_the_reader_refuses(dice: random.Random) -> None:
    for raw, limits in made_up(dice):
        if isinstance(outcome([raw], limits), int):
            assert not isinstance(scan(raw, limits), RequestHead)


@fuzz
@given(dices)
def test_junk_is_refused_or_waited_for_and_h11_knows_no_better(dice: random.Random) -> None:
    for raw, limits in made_up(dice, junk):
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
