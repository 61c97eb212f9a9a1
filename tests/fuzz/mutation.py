"""How an input is made of others: bytes changed, moved, cut and put in, with words that HTTP knows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_SIZE_MAX: Final = 4_096
WORDS: Final = (
    b"\r\n", b"\r\n\r\n", b"\r", b"\n", b" ", b"\t", b"\x00", b"\x0b", b"\x7f", b"\x80", b"\xff", b":",
    b": ", b";", b",", b'"', b"\\", b"%", b"#", b"?", b"/", b"@", b"[::1]", b"GET ", b"POST ", b"OPTIONS ",
    b"CONNECT ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b" HTTP/2.0\r\n", b"http://", b"Host: a\r\n",
    b"Content-Length: ", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: ",
    b"Connection: close\r\n", b"Expect: 100-continue\r\n", b"Upgrade: h2c\r\n", b"0\r\n\r\n",
    b"1\r\nx\r\n", b"5;a=b\r\nhello\r\n", b"*", b"chunked", b"ffffffffffffffff", b"99999999999999999999",
    b"PROXY TCP4 ", b"\r\n\r\n\x00\r\nQUIT\n", b"for=", b"proto=https", b"host=", b"10.0.0.1", b"{", b"}",
    b"198.51.100.1", b"../", b"%2F", b"%00", b"+",
)  # fmt: skip


def mutated(data: bytes, others: Sequence[bytes], dice: random.Random) -> bytes:
    """``data`` after one to six changes; ``others`` lend it parts."""
    made = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        _change(made, others, dice)
    return bytes(made[:_SIZE_MAX])


def _change(made: bytearray, others: Sequence[bytes], dice: random.Random) -> None:
    begin = dice.randint(0, len(made))
    end = min(len(made), begin + dice.choice((1, 1, 2, 4, 16, 64)))
    kind = dice.randrange(8)
    if kind == 0:
        made[begin:end] = bytes([dice.randrange(256)])
    elif kind == 1:
        made[begin:begin] = bytes([dice.randrange(256)])
    elif kind == 2:
        del made[begin:end]
    elif kind == 3:
        made[begin:begin] = dice.choice(WORDS)
    elif kind == 4:
        made[begin:end] = dice.choice(WORDS)
    elif kind == 5:
        made[begin:begin] = made[begin:end] * dice.choice((1, 1, 2, 20))
    elif kind == 6 and begin < end:
        made[begin] ^= 1 << dice.randrange(8)
    else:
        other = dice.choice(others)
        cut = dice.randint(0, len(other))
        made[begin:] = other[cut:]
