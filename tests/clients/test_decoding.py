"""gzip and deflate bodies: decoded within the bound, refused when they are broken."""

from __future__ import annotations

import gzip
import random
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from siphon.client.call import CallEnded
from siphon.client.decoding import decoded
from siphon.errors import ResponseRefused

TEXT = b"the quick brown fox " * 50


def raw_deflate(data: bytes) -> bytes:
    stream = zlib.compressobj(wbits=-15)
    return stream.compress(data) + stream.flush()


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(TEXT, mtime=0)),
        ("x-gzip", gzip.compress(TEXT, mtime=0)),
        ("GZIP", gzip.compress(TEXT[:100], mtime=0) + gzip.compress(TEXT[100:], mtime=0)),
        ("gzip", gzip.compress(TEXT, mtime=0) + bytes(8)),
        ("deflate", zlib.compress(TEXT)),
        ("deflate", raw_deflate(TEXT)),
        ("deflate, gzip", gzip.compress(zlib.compress(TEXT), mtime=0)),
        ("identity, gzip", gzip.compress(TEXT, mtime=0)),
    ],
)
def test_a_coding_is_undone_and_no_longer_named(coding: str, body: bytes) -> None:
    fields = [("a", "b"), ("content-encoding", coding), ("content-length", str(len(body)))]
    assert decoded(fields, body, len(TEXT)) == ([("a", "b")], TEXT)


@pytest.mark.parametrize("coding", ["br", "gzip, br", "zstd"])
def test_a_coding_that_was_not_asked_for_is_left_alone(coding: str) -> None:
    fields = [("content-encoding", coding), ("content-length", "3")]
    assert decoded(fields, b"abc", 10) == (fields, b"abc")


def test_a_bomb_is_refused_before_it_goes_off() -> None:
    bomb = gzip.compress(bytes(50 << 20), mtime=0)
    with pytest.raises(ResponseRefused, match="larger than 1000000 bytes once it is decoded"):
        decoded([("content-encoding", "gzip")], bomb, 1_000_000)


def test_the_bound_is_exact() -> None:
    fields = [("content-encoding", "gzip")]
    assert decoded(fields, gzip.compress(TEXT, mtime=0), len(TEXT))[1] == TEXT
    with pytest.raises(ResponseRefused, match="larger than"):
        decoded(fields, gzip.compress(TEXT, mtime=0), len(TEXT) - 1)


@pytest.mark.parametrize(
    ("body", "complaint"),
    [
        (gzip.compress(TEXT, mtime=0)[:-5], "cut short"),
        (gzip.compress(TEXT, mtime=0)[:20], "cut short"),
        (b"\x1f\x8bnonsense", "broken"),
        (gzip.compress(TEXT, mtime=0) + b"trailing", "broken"),
    ],
)
def test_a_broken_body_is_refused(body: bytes, complaint: str) -> None:
    with pytest.raises(ResponseRefused, match=complaint):
        decoded([("content-encoding", "gzip")], body, 10_000)


@given(st.binary(max_size=200), st.sampled_from(["gzip", "deflate", "gzip, gzip"]))
def test_any_bytes_are_either_decoded_or_refused(body: bytes, coding: str) -> None:
    try:
        _, plain = decoded([("content-encoding", coding)], body, 1_000)
    except ResponseRefused:
        return
    assert len(plain) <= 1_000


def seconds_for(members: int) -> float:
    """How long a body of so many empty members takes."""
    body = gzip.compress(b"", mtime=0) * members
    began = time.thread_time()
    assert decoded([("content-encoding", "gzip")], body, 10)[1] == b""
    return time.thread_time() - began


def test_a_body_of_many_members_takes_time_by_its_size() -> None:
    few, many = [min(seconds_for(members) for _ in range(3)) for members in (2_000, 32_000)]
    assert many < 64 * few  # by its square it would be 256 times as much


def test_members_of_every_size_are_joined_and_padding_between_them_is_passed_over() -> None:
    plain = [random.Random(size).randbytes(size) for size in (0, 1, 1_000, 1_024, 5_000, 300_000)]
    body = b"".join(gzip.compress(part, mtime=0) + bytes(number) for number, part in enumerate(plain))
    assert decoded([("content-encoding", "gzip")], body, 1_000_000)[1] == b"".join(plain)


def test_who_does_not_wait_any_more_ends_it_between_members() -> None:
    asked = iter(range(3))

    def go_on() -> None:
        if next(asked) == 2:
            raise CallEnded

    with pytest.raises(CallEnded):
        decoded([("content-encoding", "gzip")], gzip.compress(b"a", mtime=0) * 3, 10, go_on)


def test_more_codings_than_anybody_uses_are_refused() -> None:
    with pytest.raises(ResponseRefused, match="6 codings, and over 5 are not undone"):
        decoded([("content-encoding", "gzip, " * 6)], b"x", 10)
