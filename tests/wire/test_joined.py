"""The values of fields, by their names."""

import pytest

from siphon.wire.joined import join, join_all


@pytest.mark.parametrize(
    ("name", "values", "joined"),
    [
        ("accept", [], None),
        ("accept", ["a"], "a"),
        ("accept", [""], ""),
        ("accept", ["a", "", "b, c"], "a, , b, c"),
        ("cookie", ["a=1", "b=2"], "a=1; b=2"),
    ],
)
def test_repeated_values_are_joined_in_order(name: str, values: list[str], joined: str | None) -> None:
    assert join(name, values) == joined
    fields = [(name.title().encode(), value.encode()) for value in values]
    assert join_all(fields).get(name) == joined


def test_each_name_has_its_value_in_lower_case_and_in_latin_1() -> None:
    fields = [(b"X-A", b"1"), (b"Cookie", b"a"), (b"x-a", b"\xe9"), (b"COOKIE", b"b")]
    assert join_all(fields) == {"x-a": "1, \xe9", "cookie": "a; b"}
