"""Field lines: what they say, and the reason that is given when they are refused."""

import pytest

from siphon.errors import RequestRefused
from siphon.wire.field_line import parse_field_line


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (b"A:b\r\n", (b"a", b"b")),
        (b"X-Mixed_Case: \t b \xff:c \t\r\n", (b"x-mixed_case", b"b \xff:c")),
        (b"A:\r\n", (b"a", b"")),
        (b"A:\t \r\n", (b"a", b"")),
    ],
)
def test_a_good_line_is_a_lower_case_name_and_a_stripped_value(
    line: bytes, field: tuple[bytes, bytes]
) -> None:
    assert parse_field_line(line) == field


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"A: b\n", "bare LF"),
        (b" A: b\r\n", "folded"),
        (b"\tA: b\r\n", "folded"),
        (b"A b\r\n", "no colon"),
        (b"A : b\r\n", "before"),
        (b"A\t: b\r\n", "before"),
        (b": b\r\n", "token"),
        (b"A(b): c\r\n", "token"),
        (b"\xe9: c\r\n", "token"),
        (b"A\rB: c\r\n", "token"),
        (b"X-Name: a\x00b\r\n", "X-Name"),
        (b"X-Name: a\rb\r\n", "X-Name"),
        (b"X-Name: a\x0bb\r\n", "X-Name"),
        (b"X-Name: a\x7f\r\n", "X-Name"),
        (b"X-Name: a\r\r\n", "X-Name"),
    ],
)
def test_a_bad_line_is_400_with_its_fault_named(line: bytes, reason: str) -> None:
    with pytest.raises(RequestRefused, match=reason) as caught:
        parse_field_line(line)
    assert caught.value.status == 400
